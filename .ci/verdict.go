// Command verdict reads what "go test -json" writes. It prints, as lines that
// begin with "note:", the tests that were skipped and why (of subtests those
// that say it in capitals), and of those that failed all they wrote; of the
// others, nothing.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is described in "go doc test2json".
type event struct {
	Action, Package, Test, ImportPath, Output string
}

func main() {
	if err := verdict(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "verdict:", err)
		os.Exit(1)
	}
}

func verdict(r io.Reader, w io.Writer) error {
	wrote := make(map[[2]string][]string) // by package and test
	for d := json.NewDecoder(r); ; {
		var e event
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		key := [2]string{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Fprint(w, e.Output)
		case "output":
			wrote[key] = append(wrote[key], e.Output)
		case "fail":
			fmt.Fprintf(w, "%s %s\n%s", e.Package, e.Test, strings.Join(wrote[key], ""))
			delete(wrote, key)
		case "skip":
			reason := why(wrote[key])
			if e.Test != "" && (!strings.Contains(e.Test, "/") || strings.HasPrefix(reason, "SKIPPED") || strings.HasPrefix(reason, "NOT TESTED")) {
				fmt.Fprintf(w, "note: skipped: %s: %s\n", e.Test, reason)
			}
			delete(wrote, key)
		case "pass":
			delete(wrote, key)
		}
	}
}

// why returns what a test said when it skipped itself.
func why(wrote []string) string {
	for _, line := range wrote {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			_, text, found := strings.Cut(line, ": ") // the file and line
			if found {
				return text
			}
			return line
		}
	}
	return "it did not say why"
}
