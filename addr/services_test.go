package addr

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServicesAreSortedAndFound(t *testing.T) {
	for i, e := range services {
		if i > 0 {
			require.Less(t, services[i-1].name, e.name, "the search is binary")
		}
		require.NotZero(t, e.port, e.name)
		require.LessOrEqual(t, len(e.name), longestService, e.name)
		require.NotRegexp(t, `^[0-9+-]+$`, e.name, "it could be a number or a range")
		require.Equal(t, lower(e.name), e.name)

		port, ok := service(e.name)
		require.True(t, ok, e.name)
		require.Equal(t, e.port, port, e.name)
	}
	_, ok := service("")
	require.False(t, ok)
}

// TestServicesKnowThoseOfNet compares with the services that package net has
// built in, and with some that nobody would forgive us to have wrong.
func TestServicesKnowThoseOfNet(t *testing.T) {
	for name, want := range map[string]uint16{
		"domain": 53, "ftp": 21, "ftps": 990, "gopher": 70, "http": 80, "https": 443, "imap2": 143, "imap3": 220, "imaps": 993,
		"pop3": 110, "pop3s": 995, "smtp": 25, "submissions": 465, "ssh": 22, "telnet": 23,
		"submission": 587, "ldap": 389, "ldaps": 636, "http-alt": 8080, "https-alt": 8443, "postgresql": 5432, "mysql": 3306,
		"redis": 6379, "mongodb": 27017, "amqp": 5672, "amqps": 5671, "mqtt": 1883, "secure-mqtt": 8883, "memcache": 11211,
		"etcd-client": 2379, "ntp": 123, "sip": 5060, "sieve": 4190, "git": 9418, "rsync": 873, "x11": 6000,
	} {
		port, ok := service(name)
		require.True(t, ok, name)
		require.Equal(t, want, port, name)
	}
}
