package prop_test

import (
	"testing"

	"github.com/listengroup/listengroup/testkit/prop"
)

func TestModel(t *testing.T) { prop.Model{}.Check(t) }
