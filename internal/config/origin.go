package config

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// parseBase reads an absolute http or https URL without userinfo, query and fragment, and normalises it as browsers
// do: lower case, no default port, no trailing slash. Plain http is for loopback only (WEB-03).
func parseBase(text string) (*url.URL, error) {
	if strings.Trim(text, `"'`) != text {
		return nil, errors.New("has quotes around it; leave them out")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == '\\' || r >= 0x7f }) {
		return nil, errors.New("has a space, backslash, control or non-ASCII character (write international names as xn--…)")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return nil, errors.New("is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("does not begin with https://")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, errors.New("has a user name or password")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "?"):
		return nil, errors.New("has a query")
	case strings.Contains(text, "#"):
		return nil, errors.New("has a fragment")
	}
	if u.EscapedPath() != u.Path {
		return nil, errors.New("has an escaped character in its path")
	}
	host, err := normalHost(u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, errors.New("is plain http, which is for loopback addresses only; use https")
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: strings.TrimRight(u.Path, "/")}, nil
}

// parseOrigin reads scheme://host[:port] and nothing after it.
func parseOrigin(text string) (string, error) {
	switch {
	case text == "null":
		return "", errors.New(`is "null", which is no origin`)
	case strings.Contains(text, "*"):
		return "", errors.New("has a wildcard; list each origin by itself")
	}
	u, err := parseBase(text)
	if err != nil {
		return "", err
	}
	if _, rest, _ := strings.Cut(text, "://"); strings.Contains(rest, "/") {
		return "", errors.New("has a path; give scheme://host[:port] only")
	}
	return u.Scheme + "://" + u.Host, nil
}

// normalHost gives u's host and port in lower case and without the scheme's default port.
func normalHost(u *url.URL) (string, error) {
	name := strings.ToLower(u.Hostname())
	if err := checkHost(name, strings.HasPrefix(u.Host, "[")); err != nil {
		return "", err
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "", errors.New("has a colon without a port")
		}
		return name, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return "", errors.New("has a port that is not between 1 and 65535")
	}
	if u.Scheme == "https" && n == 443 || u.Scheme == "http" && n == 80 {
		return name, nil
	}
	return name + ":" + port, nil
}

// checkHost takes IP addresses and host names of letters, digits and hyphens. A name whose last label is a number is
// refused unless it is a whole IPv4 address, as browsers do: "127.1" would be one to some resolvers.
func checkHost(name string, bracketed bool) error {
	if name == "" {
		return errors.New("has no host")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Zone() != "" || ip.Is6() != bracketed {
			return errors.New("has an IP address that cannot be used")
		}
		return nil
	}
	if bracketed || len(name) > 253 {
		return errors.New("has a host that is not a name or IP address")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !isAlphanumeric(r) && r != '-' }) {
			return errors.New("has a host that is not a name or IP address")
		}
	}
	if last := labels[len(labels)-1]; isNumber(last) {
		return errors.New("has a host that is not a name or IP address")
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
}

// isNumber reports what URL parsers of browsers read as a number: decimal digits, or 0x and hexadecimal ones.
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// isLoopback reports whether a host name can only mean this machine. The unspecified address does: connecting to
// 0.0.0.0 reaches the local host.
func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return ip.IsLoopback() || ip.IsUnspecified()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
