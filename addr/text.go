package addr

import (
	"encoding"
	"flag"
)

var (
	_ encoding.TextMarshaler   = Addr{}
	_ encoding.TextUnmarshaler = (*Addr)(nil)
	_ flag.Value               = (*Addr)(nil)
)

// MarshalText returns String as bytes. With it an Addr is a string in JSON,
// also as the key of a map, and in slog. Its error is always nil.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.text), nil }

// UnmarshalText parses an address. Empty text gives the zero value, which
// Parse does not: so that what MarshalText wrote can always be read. On error a
// keeps its value.
func (a *Addr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*a = Addr{}
		return nil
	}
	if len(text) > maxText {
		text = text[:maxText+1] // enough to be refused, without a copy of it all
	}
	b, err := Parse(string(text))
	if err == nil {
		*a = b
	}
	return err
}

// Set parses an address. It makes *Addr a [flag.Value]; an empty flag gives the
// zero value, so that -debug= can switch a listener off.
func (a *Addr) Set(s string) error { return a.UnmarshalText([]byte(s)) }
