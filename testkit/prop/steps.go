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
		// Where the wheel stops: what is drawn means the same whatever else is possible, so that shrinking can take
		// steps away one by one.
		at := rapid.IntRange(0, len(wheel)-1).Draw(t, "what")
		s, ok := wheel[at], true
		if !s.possible() {
			s, ok = instead(steps, at)
		}
		if !ok {
			return
		}
		w.Logf("step: %s", s.Name)
		s.Do()
		if after != nil {
			after()
		}
	}})
}

func (s Step) possible() bool { return s.When == nil || s.When() }

// instead returns what is done when the wheel stops at a step that is impossible. Those places are dealt out among
// all that is possible, for the next on the wheel would get them all, and by the square of the weights: what is rare
// stays rare when there is little else to do.
func instead(steps []Step, at int) (Step, bool) {
	var rest []Step
	total := 0
	for _, s := range steps {
		if s.possible() {
			s.Weight = max(s.Weight, 1) * max(s.Weight, 1)
			rest = append(rest, s)
			total += s.Weight
		}
	}
	if total == 0 {
		return Step{}, false
	}
	const stride = 1_000_003 // takes neighbours on the wheel far apart
	at = at * stride % total
	for _, s := range rest {
		if at -= s.Weight; at < 0 {
			return s, true
		}
	}
	panic("prop: the weights do not add up")
}
