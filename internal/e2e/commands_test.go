package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/cli"
)

// The lines the command simulator prints are all that serve needs beside an address and a secret.
func TestTheSimulatorAloneConfiguresABridge(t *testing.T) {
	address := freeAddress(t)
	p := &product{bridge: "http://" + address, log: new(logBuffer)}
	p.findApps(t, p.bridge)
	var lines logBuffer
	runCommand(t, new(logBuffer), []string{"simulator", "--listen", "127.0.0.1:0", "--bridge", p.bridge}, nil, &lines)
	waitFor(t, 20*time.Second, "the lines for an env file", func() bool { return strings.Contains(lines.String(), "WXBRIDGE_WECHAT_MP_URL=") })
	env := strings.Fields(lines.String())
	for _, line := range env {
		if origin, ok := strings.CutPrefix(line, "WXBRIDGE_WECHAT_OPEN_URL="); ok {
			p.simulator = origin
		}
	}
	env = append(env, "WXBRIDGE_LISTEN="+address, "WXBRIDGE_PUBLIC_URL="+p.bridge, "WXBRIDGE_SECRET="+sealingSecret,
		"WXBRIDGE_DATABASE=sqlite://"+t.TempDir()+"/w.db")
	p.end = runCommand(t, p.log, []string{"serve"}, env, new(logBuffer))
	p.http = newHTTPClient(t)
	p.waitReady(t)
	fan := subject(p.phone("bob").login(t).access)
	if got := subject(p.miniToken(t, "bob")); got != fan {
		t.Errorf("the mini program sees %s, want %s", got, fan)
	}
}

func TestTokenInspectTellsGoodFromBad(t *testing.T) {
	p := startDev(t, nil)
	token := p.phone("bob").login(t).access
	cut := strings.LastIndex(token, ".") + 1
	for name, c := range map[string]struct {
		token string
		code  int
	}{
		"good":             {token, 0},
		"another's claims": {token[:cut-3] + "AA." + token[cut:], 1},
		"bad signature":    {token[:cut] + strings.Repeat("A", len(token)-cut), 1},
		"no token":         {"hello", 1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var stdout, stderr logBuffer
		code := cli.Run(ctx, []string{"token", "inspect", "--jwks", p.bridge + "/.well-known/jwks.json", c.token}, nil, &stdout, &stderr)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s%s", name, code, c.code, stdout.String(), stderr.String())
		}
		if c.code == 0 && !strings.Contains(stdout.String(), subject(token)) {
			t.Errorf("the claims are not shown: %s", stdout.String())
		}
	}
}
