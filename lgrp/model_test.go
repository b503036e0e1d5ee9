package lgrp_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit/prop"
)

// The group itself against testkit/prop's model of it: random sequences of all operations, in virtual time, with
// every promise of the package documentation checked after each step.
//
// LGRP_MODEL is the number of sequences; each takes about two milliseconds. The default is for go test ./...,
// .ci/run asks for 20,000 and the nightly run for a million.
func TestModel(t *testing.T) {
	sequences(t, "LGRP_MODEL", "1000")
	prop.Model{}.Check(t)
}

// The same over TCP on the loopback interface and in real time, which is for runs with -race. LGRP_MODEL_TCP is
// the number of sequences; opt-in.
func TestModelOverTCP(t *testing.T) {
	if os.Getenv("LGRP_MODEL_TCP") == "" {
		// In real time the model cannot know what is still on its way, and now and then says so.
		t.Skip("LGRP_MODEL_TCP, a number of sequences, is not set")
	}
	sequences(t, "LGRP_MODEL_TCP", "15")
	prop.Model{Loopback: true}.Check(t)
}

// sequences sets how many cases rapid tries in this test, unless RAPID_CHECKS does.
func sequences(t *testing.T, variable, n string) {
	t.Helper()
	if v := os.Getenv(variable); v != "" {
		n = v
	}
	if os.Getenv("RAPID_CHECKS") != "" {
		return
	}
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	require.NoError(t, checks.Value.Set(n))
	t.Cleanup(func() { _ = checks.Value.Set(before) })
}
