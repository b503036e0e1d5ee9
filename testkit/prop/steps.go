package prop

import "pgregory.net/rapid"

// Step is something that may be done to a program, again and again, by Steps.
type Step struct {
	// Name is shown in failures.
	Name string

	// Weight is how often it is drawn, compared with others. Defaults to 1.
	Weight int

	// When tells whether it can be done now. Defaults to always.
	When func() bool

	// Do does it. It may draw from the World's T.
	Do func()
}

// Steps does a random sequence of what is possible, and calls after, which may be nil, after each step. There
// are 30 on average, or as many as RAPID_STEPS says. It shrinks to few steps, and to those that are named first.
// The steps that were done are shown if the case fails.
func Steps(w *World, after func(), steps ...Step) {
	var wheel []Step
	for _, s := range steps {
		for range max(s.Weight, 1) {
			wheel = append(wheel, s)
		}
	}
	if len(wheel) == 0 {
		return
	}
	outer := w.T
	defer func() { w.T = outer }()
	outer.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
		w.T = t
		// Where the wheel stops, or the next place that is possible: what is drawn means the same whatever else
		// is possible, so that shrinking can take steps away one by one.
		at := rapid.IntRange(0, len(wheel)-1).Draw(t, "what")
		for i := range wheel {
			s := wheel[(at+i)%len(wheel)]
			if s.When == nil || s.When() {
				w.Logf("step: %s", s.Name)
				s.Do()
				if after != nil {
					after()
				}
				return
			}
		}
	}})
}
