package addr_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/listengroup/listengroup/addr"
)

// A parseCase is a text with the canonical form of its address, or with the
// kind of the error and the part that is wrong.
type parseCase struct {
	name, in string
	want     string
	kind     error
	part     string
}

// configCases are the values of address settings as they stand in the
// configuration files and manuals of the servers that the names begin with.
var configCases = []parseCase{
	{name: "nginx listen address and port", in: "127.0.0.1:8000", want: "127.0.0.1:8000"},
	{name: "nginx listen star", in: "*:8000", want: ":8000"},
	{name: "nginx listen localhost", in: "localhost:8000", want: "localhost:8000"},
	{name: "nginx listen any IPv6", in: "[::]:8000", want: "[::]:8000"},
	{name: "nginx listen Unix", in: "unix:/var/run/nginx.sock", want: "unix:///var/run/nginx.sock"},
	{name: "nginx listen range", in: "127.0.0.1:12345-12399", want: "127.0.0.1:12345-12399"},
	{name: "nginx listen any IPv6, range", in: "[::]:12345-12399", want: "[::]:12345-12399"},
	{name: "nginx listen port alone", in: "8000", kind: addr.ErrPort, part: "8000"},
	{name: "nginx listen address alone", in: "127.0.0.1", kind: addr.ErrPort},
	{name: "nginx listen IPv6 alone", in: "[::1]", kind: addr.ErrPort},
	{name: "nginx upstream host", in: "backend1.example.com:12345", want: "backend1.example.com:12345"},
	{name: "nginx fastcgi_pass Unix", in: "unix:/run/php/php8.2-fpm.sock", want: "unix:///run/php/php8.2-fpm.sock"},
	{name: "nginx proxy_pass Unix", in: "http://unix:/tmp/backend.socket:/uri/", kind: addr.ErrPort},
	{name: "nginx proxy_pass URL", in: "http://localhost:8000/uri/", want: "http://localhost:8000/uri/"},
	{name: "nginx resolver IPv6", in: "[::1]:5353", want: "[::1]:5353"},
	{name: "nginx listen hyphenated upper case", in: "WWW-1.Example.COM:443", want: "www-1.example.com:443"},

	{name: "apache Listen", in: "192.170.2.1:80", want: "192.170.2.1:80"},
	{name: "apache Listen IPv6", in: "[2001:db8::a00:20ff:fea7:ccea]:80", want: "[2001:db8::a00:20ff:fea7:ccea]:80"},
	{name: "apache Listen port alone", in: "80", kind: addr.ErrPort, part: "80"},
	{name: "apache VirtualHost all ports", in: "10.0.0.1:*", kind: addr.ErrPort, part: "*"},
	{name: "apache ProxyPass", in: "http://backend.example.com/", want: "http://backend.example.com:80/"},
	{name: "apache ProxyPass AJP", in: "ajp://localhost:8009/app", want: "ajp://localhost:8009/app"},

	{name: "haproxy bind port", in: ":80", want: ":80"},
	{name: "haproxy bind star", in: "*:443", want: ":443"},
	{name: "haproxy bind range", in: "*:8000-8010", want: ":8000-8010"},
	{name: "haproxy bind path", in: "/var/run/ssl-frontend.sock", want: "unix:///var/run/ssl-frontend.sock"},
	{name: "haproxy bind list", in: "10.0.0.1:10080,10.0.0.1:10443", kind: addr.ErrHost, part: "10.0.0.1:10080,10.0.0.1:10443"},
	{name: "haproxy bind three colons", in: ":::443", kind: addr.ErrHost, part: ":::443"},
	{name: "haproxy bind family", in: "ipv6@:80", kind: addr.ErrHost, part: "ipv6@"},
	{name: "haproxy bind variable", in: "ipv4@${VIP}:443", kind: addr.ErrHost, part: "ipv4@${VIP}"},
	{name: "haproxy bind unix@", in: "unix@ssl-frontend.sock", kind: addr.ErrHost, part: "unix@ssl-frontend.sock"},
	{name: "haproxy bind abns@", in: "abns@nginx", kind: addr.ErrHost, part: "abns@nginx"},
	{name: "haproxy server", in: "192.168.1.1:80", want: "192.168.1.1:80"},
	{name: "haproxy stats socket", in: "/run/haproxy/admin.sock", want: "unix:///run/haproxy/admin.sock"},
	{name: "haproxy server port offset", in: "192.168.1.1:+1000", want: "192.168.1.1:1000"},

	{name: "redis bind", in: "127.0.0.1:6379", want: "127.0.0.1:6379"},
	{name: "redis bind optional IPv6", in: "-::1", kind: addr.ErrHost, part: "-::1"},
	{name: "redis unixsocket", in: "/run/redis/redis-server.sock", want: "unix:///run/redis/redis-server.sock"},
	{name: "redis unixsocketperm", in: "unix:/run/redis.sock?mode=700", want: "unix:///run/redis.sock?mode=0700"},
	{name: "redis URL", in: "redis://localhost", want: "redis://localhost:6379"},
	{name: "redis URL database", in: "redis://localhost:6379/0", want: "redis://localhost:6379/0"},
	{name: "redis URL password", in: "redis://:s3cret@localhost:6379", kind: addr.ErrHost, part: ""},
	{name: "redis URL Unix", in: "redis+unix:///run/redis.sock?db=2", want: "redis+unix:///run/redis.sock?db=2"},

	{name: "postgres listen_addresses", in: "localhost", kind: addr.ErrPort},
	{name: "postgres listen_addresses star", in: "*", kind: addr.ErrPort},
	{name: "postgres socket", in: "/var/run/postgresql/.s.PGSQL.5432", want: "unix:///var/run/postgresql/.s.PGSQL.5432"},
	{name: "postgres socket options", in: "unix:///run/pg.sock?owner=postgres&mode=0770&group=www-data", want: "unix:///run/pg.sock?group=www-data&mode=0770&owner=postgres"},
	{name: "postgres URI", in: "postgresql://localhost", want: "postgresql://localhost:5432"},
	{name: "postgres URI database", in: "postgresql://localhost:5433/mydb", want: "postgresql://localhost:5433/mydb"},
	{name: "postgres URI IPv6", in: "postgresql://[2001:db8::1234]/database", want: "postgresql://[2001:db8::1234]:5432/database"},
	{name: "postgres URI socket directory", in: "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname", want: "postgresql://%2Fvar%2Flib%2Fpostgresql:5432/dbname"},
	{name: "postgres URI credentials", in: "postgresql://user:secret@localhost", kind: addr.ErrHost, part: "user"},
	{name: "postgres URI two hosts", in: "postgresql://host1:123,host2:456/somedb", kind: addr.ErrHost, part: "host1:123,host2:456"},

	{name: "mysql bind-address", in: "127.0.0.1:mysql", want: "127.0.0.1:3306"},
	{name: "mysql socket", in: "/var/run/mysqld/mysqld.sock", want: "unix:///var/run/mysqld/mysqld.sock"},
	{name: "mysql DSN", in: "user:password@tcp(localhost:3306)/test", kind: addr.ErrHost, part: "user:password@tcp(localhost:3306)/test"},
	{name: "mysql URI", in: "mysql://localhost/world?ssl-mode=REQUIRED", want: "mysql://localhost:3306/world?ssl-mode=REQUIRED"},

	{name: "memcached -l", in: "127.0.0.1:11211", want: "127.0.0.1:11211"},
	{name: "memcached -l IPv6", in: "[::1]:11211", want: "[::1]:11211"},
	{name: "memcached -l notls", in: "notls:127.0.0.1:11211", kind: addr.ErrHost, part: "notls:127.0.0.1:11211"},
	{name: "memcached -s", in: "/tmp/memcached.sock", want: "unix:///tmp/memcached.sock"},

	{name: "caddy admin", in: "localhost:2019", want: "localhost:2019"},
	{name: "caddy admin Unix", in: "unix//run/caddy-admin.sock", kind: addr.ErrHost, part: "unix//run/caddy-admin.sock"},
	{name: "caddy network", in: "tcp/localhost:8080", kind: addr.ErrHost, part: "tcp/localhost"},
	{name: "caddy range", in: ":8080-8085", want: ":8080-8085"},
	{name: "caddy site", in: "https://example.com", want: "https://example.com:443"},
	{name: "caddy site http", in: "http://example.com", want: "http://example.com:80"},
	{name: "caddy site wildcard", in: "*.example.com:443", kind: addr.ErrHost, part: "*.example.com"},
	{name: "caddy upstream h2c", in: "h2c://127.0.0.1:9000", want: "h2c://127.0.0.1:9000"},
	{name: "caddy placeholder", in: "{env.HOST}:80", kind: addr.ErrHost, part: "{env.HOST}"},

	{name: "envoy listener", in: "0.0.0.0:10000", want: "0.0.0.0:10000"},
	{name: "envoy admin", in: "127.0.0.1:9901", want: "127.0.0.1:9901"},
	{name: "envoy pipe", in: "/var/run/envoy/xds.sock", want: "unix:///var/run/envoy/xds.sock"},
	{name: "envoy abstract pipe", in: "@/envoy_domain_socket", want: "unix:@/envoy_domain_socket"},
	{name: "envoy internal", in: "envoy://internal_client_address/", want: "envoy://internal_client_address/"},
	{name: "envoy gRPC target", in: "dns:///xds.example.com:18000", want: "dns:///xds.example.com:18000"},

	{name: "traefik entry point", in: ":443", want: ":443"},
	{name: "traefik entry point TCP", in: ":3306/tcp", kind: addr.ErrPath, part: "/tcp"},
	{name: "traefik entry point UDP", in: ":3179/udp", kind: addr.ErrPath, part: "/udp"},
	{name: "traefik entry point address", in: "192.168.2.7:8888", want: "192.168.2.7:8888"},
	{name: "traefik docker endpoint", in: "unix:///var/run/docker.sock", want: "unix:///var/run/docker.sock"},
	{name: "traefik server URL", in: "http://private-ip-server-1/", want: "http://private-ip-server-1:80/"},

	{name: "systemd ListenStream path", in: "/run/dbus/system_bus_socket", want: "unix:///run/dbus/system_bus_socket"},
	{name: "systemd ListenStream abstract", in: "@ISCSIADM_ABSTRACT_NAMESPACE", want: "unix:@ISCSIADM_ABSTRACT_NAMESPACE"},
	{name: "systemd ListenStream port", in: "22", kind: addr.ErrPort, part: "22"},
	{name: "systemd ListenStream IPv4", in: "127.0.0.1:631", want: "127.0.0.1:631"},
	{name: "systemd ListenStream IPv6", in: "[::1]:631", want: "[::1]:631"},
	{name: "systemd ListenStream scope", in: "[fe80::1]:22%eth0", kind: addr.ErrPort, part: "22%eth0"},
	{name: "systemd ListenStream vsock", in: "vsock::14023", kind: addr.ErrHost, part: "vsock::14023"},
	{name: "systemd ListenStream specifier", in: "%t/bus", kind: addr.ErrHost, part: "%t/bus"},
	{name: "systemd FileDescriptorName", in: "systemd:cockpit.socket", want: "systemd:cockpit.socket"},
	{name: "systemd FileDescriptorName with at", in: "systemd:sshd@unix-local", want: "systemd:sshd@unix-local"},

	{name: "docker -H Unix", in: "unix:///var/run/docker.sock", want: "unix:///var/run/docker.sock"},
	{name: "docker -H Unix, two slashes", in: "unix://var/run/docker.sock", kind: addr.ErrPath, part: "var/run/docker.sock"},
	{name: "docker -H TCP", in: "tcp://0.0.0.0:2375", want: "0.0.0.0:2375"},
	{name: "docker -H TCP IPv6", in: "tcp://[2001:DB8:0:0::1]:2376", want: "[2001:db8::1]:2376"},
	{name: "docker -H TCP slash", in: "tcp://127.0.0.1:2375/", kind: addr.ErrPath, part: "/"},
	{name: "docker -H TCP no port", in: "tcp://127.0.0.1", kind: addr.ErrPort},
	{name: "docker -H fd", in: "fd://", kind: addr.ErrName},
	{name: "docker -H SSH", in: "ssh://docker-host.example.com", want: "ssh://docker-host.example.com:22"},
	{name: "docker -H SSH user", in: "ssh://me@example.com:22/var/run/docker.sock", kind: addr.ErrHost, part: "me"},
	{name: "docker -H named pipe", in: "npipe:////./pipe/docker_engine", want: "npipe:////./pipe/docker_engine"},
	{name: "docker publish", in: "127.0.0.1:8001:8001", kind: addr.ErrHost, part: "127.0.0.1:8001:8001"},
	{name: "docker publish UDP", in: "6060:6060/udp", kind: addr.ErrPath, part: "/udp"},
	{name: "docker syslog-address", in: "udp://1.2.3.4:1111", want: "udp://1.2.3.4:1111"},
	{name: "docker syslog-address TLS", in: "tcp+tls://192.168.0.42:123", want: "tcp+tls://192.168.0.42:123"},
	{name: "docker syslog-address Unix", in: "unixgram:///dev/log", want: "unixgram:///dev/log"},
	{name: "containerd address", in: "/run/containerd/containerd.sock", want: "unix:///run/containerd/containerd.sock"},
	{name: "kubelet CRI endpoint", in: "unix:///run/containerd/containerd.sock", want: "unix:///run/containerd/containerd.sock"},
	{name: "kubernetes API server", in: "https://[fd00::1]:6443", want: "https://[fd00::1]:6443"},
	{name: "kubernetes service port", in: "tcp://10.96.0.1:443", want: "10.96.0.1:443"},

	{name: "dovecot listener", in: "/var/spool/postfix/private/auth", want: "unix:///var/spool/postfix/private/auth"},
	{name: "dovecot listener options", in: "unix:/var/spool/postfix/private/dovecot-lmtp?mode=0600&user=postfix", kind: addr.ErrQuery, part: "user"},
	{name: "dovecot inet listener", in: "*:imaps", want: ":993"},
	{name: "dovecot managesieve", in: "[::]:sieve", want: "[::]:4190"},
	{name: "dovecot doveadm", in: "tcp:mx2.example.com:12345", kind: addr.ErrHost, part: "tcp:mx2.example.com:12345"},

	{name: "postfix relayhost", in: "[smtp.gmail.com]:submission", want: "smtp.gmail.com:587"},
	{name: "postfix relayhost without port", in: "[mail.example.com]", kind: addr.ErrPort},
	{name: "postfix master.cf", in: "127.0.0.1:10025", want: "127.0.0.1:10025"},
	{name: "postfix milter inet", in: "inet:localhost:8891", want: "inet:localhost:8891"},
	{name: "postfix milter inet IP", in: "inet:127.0.0.1:8891", kind: addr.ErrHost, part: "inet:127.0.0.1:8891"},
	{name: "postfix milter Unix", in: "unix:/run/opendkim/opendkim.sock", want: "unix:///run/opendkim/opendkim.sock"},
	{name: "postfix milter relative", in: "unix:private/rspamd-milter", want: "unix:private/rspamd-milter"},
	{name: "postfix lmtp Unix", in: "lmtp:unix:private/dovecot-lmtp", want: "lmtp:unix:private/dovecot-lmtp"},
	{name: "postfix content_filter", in: "smtp-amavis:[127.0.0.1]:10024", want: "smtp-amavis:%5B127.0.0.1%5D:10024"},
	{name: "opendkim Socket", in: "inet:8891@localhost", kind: addr.ErrPort, part: "8891@localhost"},

	{name: "sshd ListenAddress", in: "0.0.0.0:22", want: "0.0.0.0:22"},
	{name: "sshd ListenAddress name", in: "gateway.example.com:ssh", want: "gateway.example.com:22"},
	{name: "sshd ListenAddress IPv6", in: "::", kind: addr.ErrHost, part: "::"},
	{name: "sshd ListenAddress IPv6 port", in: "[2001:db8::1]:2222", want: "[2001:db8::1]:2222"},
	{name: "sshd ListenAddress link-local", in: "[fe80::1%eth0]:22", want: "[fe80::1%eth0]:22"},
	{name: "ssh -L", in: "8080:localhost:80", kind: addr.ErrHost, part: "8080:localhost:80"},
	{name: "ssh ControlPath", in: "~/.ssh/%r@%h:%p", kind: addr.ErrHost, part: "~/.ssh/%r@%h"},

	{name: "prometheus listen-address", in: ":9090", want: ":9090"},
	{name: "prometheus target", in: "localhost:9090", want: "localhost:9090"},
	{name: "prometheus target URL", in: "https://prometheus.io", want: "https://prometheus.io:443"},
	{name: "prometheus remote_write", in: "http://remote-write:9201/write?instance=a", want: "http://remote-write:9201/write?instance=a"},
	{name: "prometheus exporter vsock", in: "vsock://:9100", want: "vsock://:9100"},
	{name: "alertmanager cluster", in: "0.0.0.0:9094", want: "0.0.0.0:9094"},

	{name: "grafana socket", in: "/tmp/grafana.sock", want: "unix:///tmp/grafana.sock"},
	{name: "grafana root_url", in: "%(protocol)s://%(domain)s:%(http_port)s/", kind: addr.ErrHost, part: "%(protocol)s://%(domain)s:%(http_port)s/"},
	{name: "grafana database", in: "127.0.0.1:3306", want: "127.0.0.1:3306"},
	{name: "grafana remote_cache", in: "addr=127.0.0.1:6379,pool_size=100", kind: addr.ErrHost, part: "addr=127.0.0.1"},

	{name: "etcd listen-client-urls", in: "http://localhost:2379", want: "http://localhost:2379"},
	{name: "etcd listen-peer-urls", in: "https://10.0.0.1:2380", want: "https://10.0.0.1:2380"},
	{name: "etcd Unix", in: "unix://localhost:m0", kind: addr.ErrPath, part: "localhost:m0"},
	{name: "etcd list", in: "http://10.0.0.1:2379,http://10.0.0.2:2379", kind: addr.ErrHost, part: "10.0.0.1:2379,http:"},

	{name: "consul HTTP", in: "127.0.0.1:8500", want: "127.0.0.1:8500"},
	{name: "consul HTTP Unix", in: "unix:///var/run/consul_http.sock", want: "unix:///var/run/consul_http.sock"},
	{name: "consul template", in: "{{ GetPrivateIP }}", kind: addr.ErrHost, part: "{{ GetPrivateIP }}"},
	{name: "consul retry_join", in: "provider=aws tag_key=consul", kind: addr.ErrHost, part: "provider=aws tag_key=consul"},
	{name: "vault listener", in: "[2001:1c04:90d:1c00:a00:27ff:fefa:58ec]:8200", want: "[2001:1c04:90d:1c00:a00:27ff:fefa:58ec]:8200"},
	{name: "vault api_addr", in: "https://vault-0.vault-internal:8200", want: "https://vault-0.vault-internal:8200"},

	{name: "elasticsearch seed_hosts", in: "192.168.1.10:9300", want: "192.168.1.10:9300"},
	{name: "elasticsearch seed_hosts mapped", in: "[0:0:0:0:0:ffff:c0a8:10c]:9301", want: "192.168.1.12:9301"},
	{name: "elasticsearch port range", in: "127.0.0.1:9300-9400", want: "127.0.0.1:9300-9400"},
	{name: "elasticsearch special value", in: "_site:ipv4_", kind: addr.ErrPort, part: "ipv4_"},
	{name: "kafka listener", in: "PLAINTEXT://:9092", want: "plaintext://:9092"},
	{name: "kafka listener SASL", in: "SASL_SSL://kafka-1:9093", kind: addr.ErrScheme, part: "SASL_SSL"},
	{name: "zookeeper chroot", in: "zk-1:2181/kafka", kind: addr.ErrPath, part: "/kafka"},
	{name: "mongodb socket", in: "/tmp/mongodb-27017.sock", want: "unix:///tmp/mongodb-27017.sock"},
	{name: "mongodb URI", in: "mongodb://localhost/admin", want: "mongodb://localhost:27017/admin"},
	{name: "mongodb URI SRV", in: "mongodb+srv://server.example.com/", want: "mongodb+srv://server.example.com/"},
	{name: "rabbitmq listener", in: "0.0.0.0:amqp", want: "0.0.0.0:5672"},
	{name: "rabbitmq URI", in: "amqp://localhost/%2F", want: "amqp://localhost:5672/%2F"},
	{name: "nats listen", in: "nats://0.0.0.0:4222", want: "nats://0.0.0.0:4222"},
	{name: "mosquitto bridge", in: "test.mosquitto.org:mqtt", want: "test.mosquitto.org:1883"},

	{name: "php-fpm listen", in: "/run/php/php8.2-fpm.sock", want: "unix:///run/php/php8.2-fpm.sock"},
	{name: "php-fpm listen port", in: "[::]:9000", want: "[::]:9000"},
	{name: "uwsgi socket", in: ":3031", want: ":3031"},
	{name: "uwsgi relative", in: "unix:mysite.sock", want: "unix:mysite.sock"},
	{name: "gunicorn bind Unix", in: "unix:/run/gunicorn.sock", want: "unix:///run/gunicorn.sock"},
	{name: "gunicorn bind fd", in: "fd://3", want: "fd:3"},
	{name: "hypercorn bind fd", in: "fd:2", want: "fd:2"},
	{name: "puma bind TCP", in: "tcp://0.0.0.0:9292", want: "0.0.0.0:9292"},
	{name: "puma bind umask", in: "unix:///var/run/puma.sock?umask=0111", kind: addr.ErrQuery, part: "umask"},
	{name: "puma bind TLS", in: "ssl://127.0.0.1:9292?key=path_to_key&cert=path_to_cert", want: "ssl://127.0.0.1:9292?cert=path_to_cert&key=path_to_key"},
	{name: "supervisor serverurl", in: "unix:///tmp/supervisor.sock", want: "unix:///tmp/supervisor.sock"},
	{name: "supervisor inet_http_server", in: "*:9001", want: ":9001"},

	{name: "telegraf TCP", in: "tcp://127.0.0.1:http", want: "127.0.0.1:80"},
	{name: "telegraf TCP IPv4", in: "tcp4://:8094", want: "tcp4://:8094"},
	{name: "telegraf TCP IPv6", in: "tcp6://[2001:db8::1]:8094", want: "tcp6://[2001:db8::1]:8094"},
	{name: "telegraf UDP IPv6", in: "udp6://127.0.0.1:8094", kind: addr.ErrHost, part: "127.0.0.1"},
	{name: "telegraf unixgram", in: "unixgram:///tmp/telegraf.sock", want: "unixgram:///tmp/telegraf.sock"},
	{name: "statsd", in: "udp://localhost:8125", want: "udp://localhost:8125"},

	{name: "cups Listen", in: "localhost:ipp", want: "localhost:631"},
	{name: "cups Listen path", in: "/run/cups/cups.sock", want: "unix:///run/cups/cups.sock"},
	{name: "tor SocksPort", in: "unix:/run/tor/socks", want: "unix:///run/tor/socks"},
	{name: "tor ControlPort address", in: "127.0.0.1:9051", want: "127.0.0.1:9051"},
	{name: "unbound forward-addr", in: "127.0.0.1@5335", kind: addr.ErrHost, part: "127.0.0.1@5335"},
	{name: "coredns server block", in: "tls://.:853", want: "tls://.:853"},
	{name: "coredns forward", in: "tls://[2606:4700:4700::1111]:domain-s", want: "tls://[2606:4700:4700::1111]:853"},
	{name: "libvirt URI", in: "qemu+unix:///system", want: "qemu+unix:///system"},
	{name: "libvirt TLS IPv6 zone", in: "qemu+tls://[fe80::1%25virbr0]:16514/system", want: "qemu+tls://[fe80::1%virbr0]:16514/system"},
	{name: "gRPC target", in: "unix-abstract:my.service", want: "unix-abstract:my.service"},
	{name: "gRPC target IPv4", in: "ipv4:198.51.100.1:50051", kind: addr.ErrHost, part: "ipv4:198.51.100.1:50051"},
	{name: "varnish -a with protocol", in: "127.0.0.1:8443,PROXY", kind: addr.ErrPort, part: "8443,PROXY"},
	{name: "keepalived interface", in: "tcp://%eth0.100:443", want: "%eth0.100:443"},
	{name: "wireguard endpoint", in: "192.95.5.67:1234", want: "192.95.5.67:1234"},
	{name: "minio console-address", in: ":9001", want: ":9001"},
	{name: "Windows path", in: `C:\ProgramData\app.sock`, kind: addr.ErrPort, part: `\ProgramData\app.sock`},
}

func TestConfigFiles(t *testing.T) {
	require.GreaterOrEqual(t, len(configCases), 120, "promised")
	runParseCases(t, configCases)
}

func runParseCases(t *testing.T, cases []parseCase) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range cases {
		require.False(t, seen[c.name], "two cases are called %q", c.name)
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			a, err := addr.Parse(c.in)
			if c.kind == nil {
				require.NoError(t, err)
				require.Equal(t, c.want, a.String())
				require.NoError(t, checkAddr(a))
				return
			}
			require.Error(t, err, "it is %q", a)
			require.Zero(t, a)
			require.NoError(t, checkError(c.in, err))
			require.ErrorIs(t, err, c.kind, "it is: %v", err)
			e, _ := errors.AsType[*addr.ParseError](err)
			require.Equal(t, c.part, e.Part, "of: %v", err)
		})
	}
}
