package middleware

import "golang.org/x/sys/unix"

// WithoutCounters makes the kernel one that has TCP_INFO but does not count, as
// gVisor's, until restore is called.
func WithoutCounters() (restore func()) {
	info, counts := getTCPInfo, kernelCounts.Load()
	getTCPInfo = func(fd int) (*unix.TCPInfo, error) {
		i, err := info(fd)
		if err != nil {
			return nil, err
		}
		return &unix.TCPInfo{State: i.State, Rto: i.Rto, Rtt: i.Rtt, Rttvar: i.Rttvar, Snd_cwnd: i.Snd_cwnd}, nil
	}
	kernelCounts.Store(false)
	return func() {
		getTCPInfo = info
		kernelCounts.Store(counts)
	}
}
