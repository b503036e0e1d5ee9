package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestREADME keeps the README's program and its test the ones that are
// compiled and run here.
func TestREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		blocks = append(blocks, m[1])
	}
	for _, file := range []string{"main.go", "main_test.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		program := string(text)[strings.Index(string(text), "package main"):]
		require.Contains(t, blocks, program, "%s is not a code block of the README", file)
	}
}
