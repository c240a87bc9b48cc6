package audit

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"herald/scan"
	"herald/wire"
)

// published is one published port.
type published struct {
	host       string
	port       uint16 // 0 where Docker chooses it
	own        uint16 // the container's
	everywhere bool
	text       string
}

// publishedPorts are the TCP ports of a service that can be reached from this machine.
func publishedPorts(s types.ServiceConfig, said map[uint16]said) []published {
	var all []published
	if s.NetworkMode == "host" { // what it listens on is this machine's own
		for _, own := range slices.Sorted(maps.Keys(said)) {
			all = append(all, published{host: "127.0.0.1", port: own, own: own})
		}
		return all
	}
	for _, p := range s.Ports {
		if p.Protocol != "" && p.Protocol != "tcp" || p.Target == 0 || p.Target > 65535 {
			continue
		}
		q := published{host: p.HostIP, own: uint16(p.Target), text: p.Published}
		if a, err := netip.ParseAddr(p.HostIP); p.HostIP == "" || err == nil && a.IsUnspecified() {
			q.host, q.everywhere = "127.0.0.1", true
			if err == nil && a.Is6() {
				q.host = "::1"
			}
		}
		if n, err := strconv.ParseUint(p.Published, 10, 16); err == nil {
			q.port = uint16(n)
		} else if p.Published == "" {
			q.text = "a port that Docker chooses"
		}
		all = append(all, q)
	}
	return all
}

// images are the products that an image's name promises.
var images = map[string]string{
	"postfix": "Postfix", "exim": "Exim", "dovecot": "Dovecot", "opensmtpd": "OpenSMTPD", "nginx": "nginx", "httpd": "Apache httpd",
	"caddy": "Caddy", "redis": "Redis", "postgres": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL", "vsftpd": "vsftpd",
	"proftpd": "ProFTPD", "squid": "Squid", "memcached": "Memcached", "rabbitmq": "RabbitMQ", "mongo": "MongoDB", "haproxy": "HAProxy",
}

// guess is what a container's port and the image's name promise.
func guess(own uint16, image string) Expect {
	e := Expect{Port: "open"}
	known := scan.PortNamed(own)
	if known == nil || len(known.Expected) == 0 {
		return e
	}
	e.Port, e.Protocol = "", known.Expected[0].Protocol
	if known.Expected[0].Security == wire.TLS {
		e.Mode = wire.TLS
	}
	base, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	base, _, _ = strings.Cut(base, "@")
	if product := images[strings.ToLower(base)]; product != "" {
		e.Product = product
	}
	return e
}
