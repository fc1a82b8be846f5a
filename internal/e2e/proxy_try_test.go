package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The one-minute trial that the configurations' comments name does what it says, and leaves nothing behind.
func TestExamplesTry(t *testing.T) {
	bin := t.TempDir()
	for _, row := range []struct{ proxy, layout, site, bridge string }{
		{"nginx", "one-host", "127.0.0.1", "127.0.0.1"},
		{"nginx", "sub-domain", "app.wx.localhost", "login.wx.localhost"},
		{"caddy", "one-host", "127.0.0.1", "127.0.0.1"},
		{"caddy", "sub-domain", "app.wx.localhost", "login.wx.localhost"},
		{"traefik", "one-host", "127.0.0.1", "127.0.0.1"},
		{"traefik", "sub-domain", "app.wx.localhost", "login.wx.localhost"},
	} {
		t.Run(row.proxy+"/"+row.layout, func(t *testing.T) {
			requireProxy(t, row.proxy)
			for _, program := range []string{"bash", "curl"} {
				if _, err := exec.LookPath(program); err != nil {
					t.Skipf("skipped: %s is not installed", program)
				}
			}
			try := startTry(t, row.proxy, row.layout, bin)
			p := &product{bridge: "http://" + row.bridge + ":" + try.port, simulator: "http://localhost:" + try.simulator,
				http: localhostClient(t)}
			site := "http://" + row.site + ":" + try.port
			waitFor(t, 120*time.Second, "the trial to say what to open", func() bool {
				return strings.Contains(try.output.String(), "Open "+site+"/ ")
			})
			ph := p.phone("bob")
			tr := ph.open(t, site+"/orders?x=1")
			link, err := registerLink(tr.last())
			if err != nil {
				t.Fatalf("%v%v", err, tr)
			}
			tr = ph.open(t, link)
			last := tr.last()
			if !strings.HasPrefix(last.url.String(), site+"/orders?x=1") || !strings.Contains(string(last.body), "<h1>Hello Bob") {
				t.Errorf("%v %s", tr, last.body)
			}
			try.stop(t)
		})
	}
}

// trial is a running examples/try.
type trial struct {
	port, simulator string
	output          *logBuffer
	command         *exec.Cmd
	done            chan error
}

func startTry(t *testing.T, proxy, layout, bin string) *trial {
	t.Helper()
	port := func() string { _, p, _ := net.SplitHostPort(freeAddress(t)); return p }
	try := &trial{port: port(), simulator: port(), output: new(logBuffer), done: make(chan error, 1)}
	try.command = exec.Command("../../examples/try", proxy, layout)
	try.command.Env = append(os.Environ(), "PORT="+try.port, "BRIDGE_PORT="+port(), "SITE_PORT="+port(), "SIMULATOR_PORT="+try.simulator,
		"TMPDIR="+t.TempDir(), "BIN="+bin)
	if path := os.Getenv("WXBRIDGE_TEST_TRAEFIK"); path != "" {
		folder := t.TempDir()
		if err := os.Symlink(path, folder+"/traefik"); err != nil {
			t.Fatal(err)
		}
		try.command.Env = append(try.command.Env, "PATH="+folder+":"+os.Getenv("PATH"))
	}
	try.command.Stdout, try.command.Stderr = try.output, try.output
	if err := try.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { try.done <- try.command.Wait() }()
	t.Cleanup(func() {
		try.command.Process.Signal(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the trial said:\n%s", try.output.tail(30))
		}
	})
	return try
}

// stop ends it as Ctrl-C does, and wants nothing of it to go on.
func (try *trial) stop(t *testing.T) {
	t.Helper()
	try.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-try.done:
		if err != nil {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	for _, port := range []string{try.port, try.simulator} {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			t.Errorf("something still listens on port %s", port)
		}
	}
}

// localhostClient leads every *.localhost to this machine, as browsers and curl do.
func localhostClient(t *testing.T) *http.Client {
	client := newHTTPClient(t)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, _ := net.SplitHostPort(address); strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return client
}
