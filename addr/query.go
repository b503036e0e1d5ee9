package addr

import (
	"iter"
	"slices"
	"strings"
)

// Params iterates over the options after the question mark, unescaped, sorted
// by key; options with the same key in the order they were written.
func (a Addr) Params() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		rest, ok := a.query()
		for ok {
			var item string
			item, rest, ok = strings.Cut(rest, "&")
			key, value, _ := strings.Cut(item, "=")
			key, _ = unescape(key)
			value, _ = unescape(value)
			if !yield(key, value) {
				return
			}
		}
	}
}

// Param returns the first option called key, and whether there is one.
func (a Addr) Param(key string) (value string, ok bool) {
	for k, v := range a.Params() {
		if k == key {
			return v, true
		}
	}
	return "", false
}

// query returns the text after the question mark. Only addresses of these
// forms can have one: elsewhere a ? is part of a zone.
func (a Addr) query() (string, bool) {
	switch a.form {
	case formUnix, formName, formURI:
		_, q, ok := strings.Cut(a.text, "?")
		return q, ok
	}
	return "", false
}

type param struct{ key, value string }

// cutQuery splits s at its first question mark and parses what follows.
func cutQuery(s string) (body string, query []param, err *ParseError) {
	body, rest, _ := strings.Cut(s, "?")
	for rest != "" {
		var item string
		item, rest, _ = strings.Cut(rest, "&")
		if item == "" {
			continue
		}
		k, v, _ := strings.Cut(item, "=")
		key, ok1 := unescape(k)
		value, ok2 := unescape(v)
		if !ok1 || !ok2 {
			return "", nil, wrong(ErrQuery, item, wantText)
		}
		if key == "" {
			return "", nil, wrong(ErrQuery, item, "key=value")
		}
		query = append(query, param{key, value})
	}
	// Stable, for the order of one key's values may mean something.
	slices.SortStableFunc(query, func(a, b param) int { return strings.Compare(a.key, b.key) })
	return body, query, nil
}

func appendQuery(b []byte, query []param) []byte {
	sep := byte('?')
	for _, p := range query {
		b = append(b, sep)
		b = appendEscaped(b, p.key, inQuery)
		b = append(b, '=')
		b = appendEscaped(b, p.value, inQuery)
		sep = '&'
	}
	return b
}
