package prop

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A Law is one promise that a middleware or a handler keeps, by its name, which is that of the subtest too.
// What it says in full is printed when it is broken.
type Law string

// law is how a Law is tried. Check returns what is wrong, for the smallest case that it found, or for the
// first if that is all that is asked for.
type law struct {
	name  Law
	why   string
	check func(t *testing.T, first bool) (failure string)
}

// outcomes are those of the cases of one law, by what was drawn. While it makes a case smaller, rapid tries the same
// values again and again: most of the bits that it lowers change none of them.
type outcomes struct {
	of     map[string]string
	failed bool // only then are cases made smaller
}

func (o *outcomes) note(values, failure string) {
	if values != "" {
		o.of[values] = failure
		o.failed = o.failed || failure != ""
	}
}

// drew says what a case has drawn, all of it. One that has been tried ends here, as it ended then.
func (c *caseTB) drew(format string, args ...any) {
	values := fmt.Sprintf(format, args...)
	if c.outcomes == nil {
		return
	}
	if failure, known := c.outcomes.of[values]; known && c.outcomes.failed {
		if failure != "" {
			c.Fatalf("%s", failure)
		}
		runtime.Goexit()
	}
	c.values = values
}

// once is the check of a law that needs no random cases, in a bubble.
func once(f func(tb *caseTB)) func(*testing.T, bool) string {
	return func(t *testing.T, _ bool) string { return inBubble(t, f) }
}

// enforce runs each law as a subtest. A declared deviation is expected to be seen: one that is no longer
// there is a failure, so that no excuse outlives its reason.
func enforce(t *testing.T, laws []law, deviations map[Law]string, broken func(Law, string)) {
	t.Helper()
	for name := range deviations {
		if !slices.ContainsFunc(laws, func(l law) bool { return l.name == name }) {
			t.Errorf("prop: a deviation is declared from %q, which is not a law here; the laws are %s", name, names(laws))
		}
	}
	for _, l := range laws {
		t.Run(strings.ReplaceAll(string(l.name), " ", "-"), func(t *testing.T) {
			reason, deviates := deviations[l.name]
			failure := l.check(t, deviates)
			switch {
			case deviates && failure == "":
				t.Errorf("prop: the law %q holds: take the declared deviation away (%s)", l.name, reason)
			case deviates:
				t.Logf("deviates as declared (%s): %s", reason, failure)
			case failure != "" && broken != nil:
				broken(l.name, failure)
			case failure != "":
				t.Errorf("%s\n\nThe law %q: %s", failure, l.name, l.why)
			}
		})
	}
}

func names(laws []law) string {
	var s []string
	for _, l := range laws {
		s = append(s, fmt.Sprintf("%q", l.name))
	}
	return strings.Join(s, ", ")
}
