package middleware_test

import (
	"log/slog"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
	"github.com/listengroup/listengroup/netx"
	"github.com/listengroup/listengroup/testkit/prop"
)

// The laws of middleware, for those that watch and limit, each set so that it
// comes into play and refuses nobody.
func TestShelfLaws(t *testing.T) {
	silent := slog.New(slog.DiscardHandler)
	for name, mw := range map[string]func() lgrp.Middleware{
		"Limit":      func() lgrp.Middleware { return middleware.Limit(100) },
		"Recover":    func() lgrp.Middleware { return middleware.Recover(silent) },
		"AllowFrom":  func() lgrp.Middleware { return middleware.AllowFrom(middleware.MustIPSet("0.0.0.0/0")) },
		"DenyFrom":   func() lgrp.Middleware { return middleware.DenyFrom(middleware.MustIPSet("203.0.113.0/24")) },
		"LimitPerIP": func() lgrp.Middleware { return middleware.LimitPerIP(100, nil) },
		"RateLimit": func() lgrp.Middleware {
			return middleware.RateLimit(rate.Every(time.Hour), &middleware.RateLimitOptions{Burst: 100, Key: middleware.ByIP(nil)})
		},
		"IdleTimeout": func() lgrp.Middleware { return middleware.IdleTimeout(20 * time.Minute) },
		"MaxLifetime": func() lgrp.Middleware { return middleware.MaxLifetime(20*time.Minute, nil) },
		"MinRate": func() lgrp.Middleware {
			return middleware.MinRate(1, &middleware.MinRateOptions{Window: 20 * time.Minute})
		},
		"Throttle": func() lgrp.Middleware {
			return middleware.Throttle(&middleware.ThrottleOptions{Read: 1000, TotalRead: 3000, Write: 1000, TotalWrite: 3000})
		},
		"MaxBytes": func() lgrp.Middleware {
			return middleware.MaxBytes(&middleware.MaxBytesOptions{Read: 1 << 30, Written: 1 << 30})
		},
		"Log":         func() lgrp.Middleware { return middleware.Log(silent, nil) },
		"Count":       func() lgrp.Middleware { return middleware.Count(new(netx.Counter)) },
		"ConnCounter": func() lgrp.Middleware { return new(middleware.ConnCounter).Middleware() },
		"Metrics":     func() lgrp.Middleware { return middleware.Metrics(noSink{}) },
	} {
		t.Run(name, func(t *testing.T) { prop.TestMiddleware(t, nil, prop.MiddlewareSpec{New: mw}) })
	}
}
