package lgrp_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoListenersAreAnEmptyListInJSON(t *testing.T) {
	b, err := json.Marshal(newGroup(t, hold, nil).Info())
	require.NoError(t, err)
	require.Contains(t, string(b), `"listeners":[]`)
}
