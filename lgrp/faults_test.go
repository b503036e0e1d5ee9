package lgrp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/testkit/prop"
)

// Every fault of the table, planted by itself, must be found by the model within five seconds, for the reason
// that it was planted for, and shrunk to at most six steps. The faults are text substitutions in the sources,
// handed to the compiler as an overlay, so that no switch for them exists in the package.
//
// It builds one test binary for each fault, which takes minutes: LGRP_FAULTS=1 asks for it. Without it only the
// table is checked: each text to be replaced must occur exactly once.
//
// The table of results that it prints is kept in testkit/prop/FAULTS.md; LGRP_FAULTS_TABLE names a file to write.
func TestPlantedFaultsAreFound(t *testing.T) {
	var rotten []error
	for _, f := range faults {
		_, err := f.plant()
		rotten = append(rotten, err)
	}
	require.NoError(t, errors.Join(rotten...))
	if os.Getenv("LGRP_FAULTS") == "" {
		t.Skip("LGRP_FAULTS is not set: only the table of faults was checked")
	}
	var rows strings.Builder
	fmt.Fprintf(&rows, "| fault | sequences | seconds | steps | what the model says |\n|---|---|---|---|---|\n")
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			r := f.find(t)
			fmt.Fprintf(&rows, "| %s | %d | %.2f | %d | %s |\n", f.name, r.Cases, r.Found.Seconds(), r.Drawn, strings.ReplaceAll(r.What, "|", "/"))
			t.Logf("found in %.2fs, sequence %d:\n%v", r.Found.Seconds(), r.Cases, r)
			expected := slices.ContainsFunc(strings.Split(f.sees, " / "), func(part string) bool { return strings.Contains(r.What, part) })
			require.True(t, expected, "found, but not for what it was planted for: %s", r.What)
			require.Less(t, r.Found, 5*time.Second, "time until it was found")
			require.LessOrEqual(t, r.Drawn, 6, "steps after shrinking")
		})
	}
	t.Logf("the faults:\n%s", &rows)
	if file := os.Getenv("LGRP_FAULTS_TABLE"); file != "" {
		require.NoError(t, os.WriteFile(file, []byte(rows.String()), 0o644))
	}
}

// find builds the tests with the fault in, and has the model look for it.
func (f fault) find(t *testing.T) *prop.Failure {
	t.Helper()
	text, err := f.plant()
	require.NoError(t, err)
	dir := t.TempDir()
	source, err := filepath.Abs(f.file)
	require.NoError(t, err)
	planted, overlay, binary, result := filepath.Join(dir, "planted.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "lgrp.test"), filepath.Join(dir, "result.json")
	require.NoError(t, os.WriteFile(planted, []byte(text), 0o644))
	o, err := json.Marshal(map[string]any{"Replace": map[string]string{source: planted}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, o, 0o644))
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, "./testdata/faults/child").CombinedOutput()
	require.NoError(t, err, "the fault does not compile: %s", out)

	child := exec.CommandContext(t.Context(), binary, "-test.run=^TestFindFault$", "-test.timeout=5m")
	child.Dir = dir
	child.Env = append(os.Environ(), "LGRP_FAULT_RESULT="+result, "RAPID_SHRINKTIME=15s", "RAPID_CHECKS=20000")
	out, err = child.CombinedOutput()
	require.NoError(t, err, "the child: %s", out)
	b, err := os.ReadFile(result)
	require.NoError(t, err)
	var r *prop.Failure
	require.NoError(t, json.Unmarshal(b, &r))
	require.NotNil(t, r, "the fault was not found")
	return r
}

// plant returns the source with the fault in.
func (f fault) plant() (string, error) {
	b, err := os.ReadFile(f.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(b), f.old); n != 1 {
		return "", fmt.Errorf("fault %q: %s contains %d times, not once: %s", f.name, f.file, n, f.old)
	}
	return strings.Replace(string(b), f.old, f.new, 1), nil
}
