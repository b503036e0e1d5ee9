// Command metrics shows a group to Prometheus: an echo server, and beside it
// an HTTP server with its figures, in the same group.
//
//	go run ./metrics
//	curl http://ADDRESS/metrics
package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/listengroup/listengroup/examples/interop/internal/cli"
	"github.com/listengroup/listengroup/lgrp"
	"github.com/listengroup/listengroup/middleware"
)

func main() {
	about := "Serves HTTP to those who speak it, and sends all others back what they send.\n"
	cli.Main("metrics", about, newGroup(prometheus.NewRegistry()), port{}, nil)
}

type port struct{}

type session struct{}

type group = lgrp.ListenGroup[port, session]

func newGroup(registry *prometheus.Registry) *group {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	web := middleware.HTTP(&http.Server{Handler: mux})

	g := lgrp.New(echo, nil)
	figures := newFigures(registry)
	registry.MustRegister(&collector{group: g})
	g.Use(
		middleware.Metrics(figures),
		middleware.Sniff([]middleware.SniffRoute{{Match: middleware.MatchHTTP1(), Handler: web}}, nil),
	)
	return g
}

func echo(_ context.Context, nc net.Conn, c *lgrp.Conn[port, session]) error {
	c.OnDrain(func() { _ = nc.SetReadDeadline(time.Now()) })
	_, err := io.Copy(nc, nc)
	if c.Info().Draining {
		return nil
	}
	return err
}

// figures are those that only grow, or that have to be seen when they happen:
// middleware tells them.
type figures struct {
	bytes *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

func newFigures(registry *prometheus.Registry) *figures {
	f := &figures{
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "listengroup_bytes_total", Help: "Bytes moved over connections.",
		}, []string{"listener", "direction"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "listengroup_connection_seconds", Help: "How long connections took, by why they ended.",
			Buckets: prometheus.ExponentialBuckets(0.001, 10, 7),
		}, []string{"listener", "reason"}),
	}
	registry.MustRegister(f.bytes, f.took)
	return f
}

func (f *figures) ConnStarted(string) {}

func (f *figures) ConnEnded(listener string, why lgrp.Reason, took time.Duration) {
	f.took.WithLabelValues(listener, why.String()).Observe(took.Seconds())
}

func (f *figures) BytesMoved(listener string, read, written int64) {
	f.bytes.WithLabelValues(listener, "read").Add(float64(read))
	f.bytes.WithLabelValues(listener, "written").Add(float64(written))
}

// collector asks the group when Prometheus asks: one consistent snapshot, at a
// cost that does not depend on how many connections there are.
type collector struct{ group *group }

var (
	connections = prometheus.NewDesc("listengroup_connections", "Connections there are, by what they do.", []string{"listener", "state"}, nil)
	accepted    = prometheus.NewDesc("listengroup_accepted_total", "Connections accepted.", []string{"listener"}, nil)
	closed      = prometheus.NewDesc("listengroup_closed_total", "Connections ended, by reason.", []string{"listener", "reason"}, nil)
	up          = prometheus.NewDesc("listengroup_listener", "1 for each listener, with its state.", []string{"listener", "state"}, nil)
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for _, l := range c.group.Info().Listeners {
		gauge(connections, l.Active, l.ID, "active")
		gauge(connections, l.Uncounted, l.ID, "uncounted")
		gauge(connections, l.Parked, l.ID, "parked")
		gauge(up, 1, l.ID, l.State.String())
		counter(accepted, l.Accepted, l.ID)
		for reason, n := range l.Closed {
			counter(closed, n, l.ID, reason.String())
		}
	}
}
