// Package child is what TestPlantedFaultsAreFound builds with each fault: nothing but the model, so that building
// it takes as little time as can be.
package child

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/listengroup/listengroup/testkit/prop"
)

func TestFindFault(t *testing.T) {
	b, err := json.Marshal(prop.Model{}.Find(t))
	if err == nil {
		err = os.WriteFile(os.Getenv("LGRP_FAULT_RESULT"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
