package middleware

import "context"

// valueContext is context.WithValue for the contexts of connections: it keeps
// their AfterFunc method, without which each context that is derived further
// in would cost a goroutine.
type valueContext struct {
	context.Context
	key, value any
}

func withValue(ctx context.Context, key, value any) context.Context {
	return &valueContext{ctx, key, value}
}

func (c *valueContext) Value(key any) any {
	if key == c.key {
		return c.value
	}
	return c.Context.Value(key)
}

// AfterFunc is looked for by package context.
func (c *valueContext) AfterFunc(f func()) (stop func() bool) {
	if p, ok := c.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return p.AfterFunc(f)
	}
	return context.AfterFunc(c.Context, f)
}
