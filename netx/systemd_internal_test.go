package netx

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseActivation(f *testing.F) {
	for _, seed := range [][3]string{
		{"77", "2", "web:admin"},
		{"77", "2", ""},
		{"77", "3", "a::b"},
		{"78", "1", "web"},
		{"", "1", "web"},
		{"77", "", ""},
		{"77", "-1", "x"},
		{"+77", "1", "x"},
		{"077", "01", "x"},
		{"77", "2147483648", ""},
		{"77", "1048577", ""},
		{"77", "0", "x"},
		{"99999999999999999999", "1", "x"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pid, fds, names string) {
		env := map[string]string{"LISTEN_PID": pid, "LISTEN_FDS": fds, "LISTEN_FDNAMES": names}
		all, err := parseActivation(77, func(name string) string { return env[name] })
		if err != nil {
			for _, p := range all {
				require.Equal(t, "unknown", p.name)
			}
			return
		}
		ours, err := strconv.Atoi(pid)
		require.NoError(t, err)
		require.Equal(t, 77, ours)
		n, err := strconv.Atoi(fds)
		require.NoError(t, err)
		require.Len(t, all, n)
		var back []string
		for i, p := range all {
			require.Equal(t, 3+i, p.fd)
			require.NotEmpty(t, p.name)
			back = append(back, p.name)
		}
		if names != "" && n > 0 && !strings.HasPrefix(names, ":") && !strings.HasSuffix(names, ":") && !strings.Contains(names, "::") {
			require.Equal(t, names, strings.Join(back, ":"))
		}
	})
}
