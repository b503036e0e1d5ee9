package testkit

import "context"

// TB is the part of a test that the kit needs. *testing.T, *testing.B and pgregory.net/rapid's *T have it.
type TB interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	Cleanup(func())
	Context() context.Context
}
