package jwtauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wxbridge/jwtauth"
)

// bridge answers for the bridge's JWK Set, and counts.
type bridge struct {
	fetches atomic.Int64
	answer  atomic.Pointer[http.HandlerFunc]
}

func (b *bridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.fetches.Add(1)
	(*b.answer.Load())(w, r)
}

func (b *bridge) set(h http.HandlerFunc) { b.answer.Store(&h) }

// publish serves a key set the way the bridge does.
func (b *bridge) publish(keys *jwtauth.KeySet, cacheControl string) {
	b.set(func(w http.ResponseWriter, _ *http.Request) {
		if cacheControl != "" {
			w.Header().Set("Cache-Control", cacheControl)
		}
		_, _ = w.Write(keys.JWKS())
	})
}

func (b *bridge) fail() {
	b.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
}

// start serves b and makes a remote key set for it, with a clock of its own.
func (b *bridge) start(t *testing.T, o jwtauth.RemoteOptions) (*jwtauth.RemoteKeySet, *clock) {
	t.Helper()
	c := newClock()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	o.Now = c.Now
	if o.HTTP == nil {
		o.HTTP = server.Client()
	}
	remote, err := jwtauth.NewRemoteKeySet(server.URL+"/.well-known/jwks.json", o)
	must(t, err)
	return remote, c
}

func TestRemoteKeySetVerifiesWhatTheBridgeSigned(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, _ := b.start(t, jwtauth.RemoteOptions{})
	v := newVerifier(t, remote)
	for range 100 {
		c, err := v.Verify(background, w.accessToken(t))
		must(t, err)
		if c.Subject != "fan-1" {
			t.Fatalf("got %+v", c)
		}
	}
	if n := b.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestRemoteKeySetNeedsNoClient(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "")
	server := httptest.NewServer(b)
	defer server.Close()
	remote, err := jwtauth.NewRemoteKeySet(server.URL, jwtauth.RemoteOptions{})
	must(t, err)
	if _, err := remote.Key(background, kid); err != nil {
		t.Error(err)
	}
}

// roundTrip is an HTTP transport without a network, so that a test can run with
// synctest's clock and know that everybody waits.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(body []byte) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
}

func TestRemoteKeySetFetchesOnceHoweverManyWait(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		release := make(chan struct{})
		remote, err := jwtauth.NewRemoteKeySet("https://login.example.com/jwks", jwtauth.RemoteOptions{
			HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				fetches.Add(1)
				<-release
				return answer(w.keys.JWKS()), nil
			})},
		})
		must(t, err)
		var good atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := remote.Key(background, kid); err == nil {
					good.Add(1)
				}
			})
		}
		synctest.Wait() // all 1,000 wait for the one fetch
		if n := fetches.Load(); n != 1 {
			t.Errorf("%d fetches while 1,000 wait", n)
		}
		close(release)
		wg.Wait()
		if fetches.Load() != 1 || good.Load() != 1000 {
			t.Errorf("%d fetches, %d of 1,000 got the key", fetches.Load(), good.Load())
		}
	})
}

func TestACallerThatGivesUpDoesNotFailTheOthers(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		remote, err := jwtauth.NewRemoteKeySet("https://login.example.com/jwks", jwtauth.RemoteOptions{
			HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				select {
				case <-release:
					return answer(w.keys.JWKS()), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})},
		})
		must(t, err)
		first, giveUp := context.WithCancel(background)
		gaveUp, got := make(chan error, 1), make(chan error, 1)
		go func() { _, err := remote.Key(first, kid); gaveUp <- err }()
		synctest.Wait()
		go func() { _, err := remote.Key(background, kid); got <- err }()
		synctest.Wait()
		giveUp()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up got %v", err)
		}
		close(release)
		if err := <-got; err != nil {
			t.Errorf("the other got %v", err)
		}
	})
}

func TestAHangingServerCostsOneTimeoutThenNobodyWaits(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		remote, err := jwtauth.NewRemoteKeySet("https://login.example.com/jwks", jwtauth.RemoteOptions{
			HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if hang.Load() {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return answer(w.keys.JWKS()), nil
			})},
		})
		must(t, err)
		ask := func() time.Duration {
			start := time.Now()
			_, err := remote.Key(background, kid)
			must(t, err)
			return time.Since(start)
		}
		ask()
		hang.Store(true)
		time.Sleep(11 * time.Minute) // synctest's clock: past max-age
		if waited := ask(); waited != 5*time.Second {
			t.Errorf("the first question after max-age waited %v, want the timeout of 5s", waited)
		}
		for range 10 {
			time.Sleep(11 * time.Second)
			if waited := ask(); waited != 0 {
				t.Errorf("a later question waited %v", waited)
			}
		}
		hang.Store(false)
		time.Sleep(11 * time.Second)
		ask()
		synctest.Wait()
		if waited := ask(); waited != 0 {
			t.Errorf("waited %v after recovery", waited)
		}
	})
}

func TestMadeUpKidsCostAFewFetchesThenOneAnInterval(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{MinInterval: 10 * time.Second})
	var tenSeconds []int64
	for second := range 60 {
		for i := range 1000 {
			c.advance(time.Millisecond)
			if _, err := remote.Key(background, fmt.Sprint("made-up-", i)); !errors.Is(err, jwtauth.ErrUnknownKey) {
				t.Fatalf("got %v, want ErrUnknownKey", err)
			}
		}
		if second%10 == 9 {
			tenSeconds = append(tenSeconds, b.fetches.Swap(0))
		}
	}
	for i, n := range tenSeconds {
		if i == 0 && n > 5 || i > 0 && n > 1 {
			t.Fatalf("fetches in each ten seconds of a flood: %v", tenSeconds)
		}
	}

	// In the middle of the flood the bridge signs with a key nobody has seen.
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next, w.keys.Signing()))
	waited := time.Duration(0)
	for ; waited <= 10*time.Second; waited += time.Millisecond {
		_, _ = remote.Key(background, "made-up")
		if _, err := remote.Key(background, next.ID()); err == nil {
			break
		}
		c.advance(time.Millisecond)
	}
	if waited > 10*time.Second {
		t.Error("a flood of made-up kids hid a real one for more than an interval")
	}
}

func TestRotationFailsNoRequest(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	v := newVerifier(t, remote)
	var tokens []string
	check := func(step string) {
		t.Helper()
		tokens = append(tokens, w.accessToken(t))
		var wg sync.WaitGroup
		for _, raw := range tokens {
			for range 8 {
				wg.Go(func() {
					if _, err := v.Verify(background, raw); err != nil {
						t.Errorf("%s: %v", step, err)
					}
				})
			}
		}
		wg.Wait()
	}
	check("before")
	old := w.keys.Signing()
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(old, next))
	check("published, not yet signing")
	c.advance(11 * time.Minute)
	must(t, w.keys.Replace(next, old))
	check("signing, old still published")
	c.advance(11 * time.Minute)
	check("a while later")

	sudden, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	c.advance(11 * time.Second)
	must(t, w.keys.Replace(sudden, next, old))
	check("signing without having been published")
}

func TestAWithdrawnKeyIsRefusedOnceMaxAgeIsOver(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{})
	old := w.keys.Signing()
	_, err := remote.Key(background, old.ID())
	must(t, err)
	next, err := jwtauth.GenerateKey(jwtauth.ES256)
	must(t, err)
	must(t, w.keys.Replace(next))
	c.advance(10 * time.Minute)
	if _, err := remote.Key(background, old.ID()); !errors.Is(err, jwtauth.ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}
	b.set(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) })
	c.advance(10 * time.Minute)
	if _, err := remote.Key(background, next.ID()); !errors.Is(err, jwtauth.ErrUnknownKey) {
		t.Errorf("all keys withdrawn: got %v, want ErrUnknownKey", err)
	}
}

func TestOldKeysServeWhileTheBridgeIsDownButNotForEver(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.publish(w.keys, "max-age=600")
	remote, c := b.start(t, jwtauth.RemoteOptions{MaxStale: time.Hour})
	v := newVerifier(t, remote)
	raw := w.accessToken(t)
	_, err := v.Verify(background, raw)
	must(t, err)

	b.fail()
	c.advance(10 * time.Minute)
	for range 59 {
		if _, err := v.Verify(background, raw); err != nil {
			t.Fatalf("down since %v: %v", c.Now().Sub(noon), err)
		}
		c.advance(time.Minute)
	}
	c.advance(time.Minute)
	if _, err := v.Verify(background, raw); !errors.Is(err, jwtauth.ErrUnavailable) || errors.Is(err, jwtauth.ErrInvalid) {
		t.Errorf("an hour past max-age: got %v, want ErrUnavailable", err)
	}
	b.publish(w.keys, "max-age=600")
	c.advance(time.Minute)
	if _, err := v.Verify(background, raw); err != nil {
		t.Errorf("after recovery: %v", err)
	}
}

func TestAnUnusableAnswerIsNoVerdictOnTheToken(t *testing.T) {
	w := newWorld(t)
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = rw.Write(w.keys.JWKS())
	}))
	defer other.Close()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	status := func(code int) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(code)
			_, _ = rw.Write(w.keys.JWKS())
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"404": status(404), "500": status(500), "204": status(204), "203": status(203),
		"HTML": text("<html>"), "nothing": text(""), "null": text("null"), "an object without keys": text("{}"), "keys null": text(`{"keys":null}`),
		"keys an object": text(`{"keys":{}}`), "a list": text("[]"), "keys a list of numbers": text(`{"keys":[1]}`), "keys of which none is usable": text(`{"keys":[{"kty":"oct","k":"AAAA","kid":"key-1"},{}]}`), "JSON cut short": text(`{"keys":[{"kty":"EC"`),
		"101 keys":        text(`{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`),
		"more than 1 MiB": text(`{"keys":[]}` + strings.Repeat(" ", 1<<20)),
		"a body cut off": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100000")
			_, _ = rw.Write(w.keys.JWKS())
		},
		"a redirect elsewhere": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, other.URL, http.StatusFound) },
		"redirects for ever":   func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, r.URL.Path, http.StatusFound) },
		"no answer in time": func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bridge{}
			b.set(h)
			remote, _ := b.start(t, jwtauth.RemoteOptions{Timeout: 500 * time.Millisecond})
			_, err := newVerifier(t, remote).Verify(background, w.accessToken(t))
			if !errors.Is(err, jwtauth.ErrUnavailable) || errors.Is(err, jwtauth.ErrInvalid) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			if n := b.fetches.Load(); n > 5 {
				t.Errorf("%d requests for one question", n)
			}
		})
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect to another host", n)
	}
}

func TestARedirectOnTheSameHostIsFollowed(t *testing.T) {
	w := newWorld(t)
	b := &bridge{}
	b.set(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/moved" {
			http.Redirect(rw, r, "/moved", http.StatusFound)
			return
		}
		_, _ = rw.Write(w.keys.JWKS())
	})
	remote, _ := b.start(t, jwtauth.RemoteOptions{})
	if _, err := remote.Key(background, kid); err != nil {
		t.Error(err)
	}
}

func TestMaxAgeIsKeptWithinBounds(t *testing.T) {
	for _, row := range []struct {
		cacheControl string
		fresh        time.Duration
	}{
		{"", 10 * time.Minute}, {"max-age=600", 10 * time.Minute}, {"public, Max-Age=120", 2 * time.Minute}, {`max-age="300"`, 5 * time.Minute},
		{"max-age=0", time.Minute}, {"no-store", time.Minute}, {"max-age=600, no-cache", time.Minute}, {"max-age=31536000", time.Hour},
		{"max-age=99999999999999999999", 10 * time.Minute}, {"max-age=-5", 10 * time.Minute}, {"max-age=soon", 10 * time.Minute}, {"s-maxage=5", 10 * time.Minute},
	} {
		t.Run(row.cacheControl, func(t *testing.T) {
			w := newWorld(t)
			b := &bridge{}
			b.publish(w.keys, row.cacheControl)
			remote, c := b.start(t, jwtauth.RemoteOptions{})
			ask := func() int64 {
				_, err := remote.Key(background, kid)
				must(t, err)
				return b.fetches.Load()
			}
			ask()
			c.advance(row.fresh - time.Second)
			if n := ask(); n != 1 {
				t.Error("fetched again before max-age was over")
			}
			c.advance(time.Second)
			if n := ask(); n != 2 {
				t.Error("not fetched again when max-age was over")
			}
		})
	}
}

func TestOnlyUsablePublicKeysAreTakenFromAJWKSet(t *testing.T) {
	const (
		x     = `"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"`
		y     = `"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
		ec    = `{"kid":"k","kty":"EC","crv":"P-256",` + x + `,` + y
		ed    = `{"kid":"k","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
		zero  = `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`
		rsaOf = `{"kid":"k","kty":"RSA","e":"%s","n":"%s"}`
	)
	modulus := func(bytes int) string { return b64(strings.Repeat("\xff", bytes)) }
	for _, row := range []struct {
		name, jwk string
		taken     bool
	}{
		{"a plain EC key", ec + `}`, true},
		{"with alg and use", ec + `,"alg":"ES256","use":"sig"}`, true},
		{"with key_ops verify", ec + `,"key_ops":["verify"]}`, true},
		{"with members nobody knows", ec + `,"x5c":["MIIB"],"foo":{"d":1}}`, true},
		{"a plain Ed25519 key", ed + `}`, true},
		{"RSA of 2,048 bits", fmt.Sprintf(rsaOf, "AQAB", modulus(256)), true},
		{"RSA of 8,192 bits", fmt.Sprintf(rsaOf, "AQAB", modulus(1024)), true},

		{"no kid", strings.Replace(ec, `"kid":"k",`, "", 1) + `}`, false},
		{"kid a number", strings.Replace(ec, `"kid":"k"`, `"kid":1`, 1) + `}`, false},
		{"kid empty", strings.Replace(ec, `"kid":"k"`, `"kid":""`, 1) + `}`, false},
		{"kid too long", strings.Replace(ec, `"kid":"k"`, `"kid":"`+strings.Repeat("k", 129)+`"`, 1) + `}`, false},
		{"for encryption", ec + `,"use":"enc"}`, false},
		{"use null", ec + `,"use":null}`, false},
		{"key_ops sign", ec + `,"key_ops":["sign"]}`, false},
		{"key_ops malformed", ec + `,"key_ops":"verify"}`, false},
		{"another alg", ec + `,"alg":"ES384"}`, false},
		{"alg none", ec + `,"alg":"none"}`, false},
		{"alg HS256", ec + `,"alg":"HS256"}`, false},
		{"alg null", ec + `,"alg":null}`, false},
		{"a private EC key", ec + `,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`, false},
		{"a private part that is null", ec + `,"d":null}`, false},
		{"a symmetric key", `{"kid":"k","kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`, false},
		{"a symmetric key that says EC", ec + `,"k":"AAAA"}`, false},
		{"P-384", strings.Replace(ec, "P-256", "P-384", 1) + `}`, false},
		{"secp256k1", strings.Replace(ec, "P-256", "secp256k1", 1) + `}`, false},
		{"X25519", strings.Replace(ed, "Ed25519", "X25519", 1) + `}`, false},
		{"Ed448", strings.Replace(ed, "Ed25519", "Ed448", 1) + `}`, false},
		{"a kty nobody knows", `{"kid":"k","kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`, false},
		{"no kty", `{"kid":"k"}`, false},
		{"kty in another case", strings.Replace(ec, `"EC"`, `"ec"`, 1) + `}`, false},
		{"members in another case", strings.Replace(ec, `"kty"`, `"Kty"`, 1) + `}`, false},
		{"a point off the curve", `{"kid":"k","kty":"EC","crv":"P-256",` + x + `,"y":"` + zero + `"}`, false},
		{"the point at zero", `{"kid":"k","kty":"EC","crv":"P-256","x":"` + zero + `","y":"` + zero + `"}`, false},
		{"a short coordinate", `{"kid":"k","kty":"EC","crv":"P-256","x":"AQAB",` + y + `}`, false},
		{"padded base64", strings.Replace(ec, `RVEU"`, `RVEU="`, 1) + `}`, false},
		{"no y", `{"kid":"k","kty":"EC","crv":"P-256",` + x + `}`, false},
		{"half an Ed25519 key", `{"kid":"k","kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7T"}`, false},
		{"RSA of 1,024 bits", fmt.Sprintf(rsaOf, "AQAB", modulus(128)), false},
		{"RSA of 8,200 bits", fmt.Sprintf(rsaOf, "AQAB", modulus(1025)), false},
		{"RSA with exponent 1", fmt.Sprintf(rsaOf, "AQ", modulus(256)), false},
		{"RSA with an even exponent", fmt.Sprintf(rsaOf, "BA", modulus(256)), false},
		{"RSA with a huge exponent", fmt.Sprintf(rsaOf, modulus(256), modulus(256)), false},
		{"RSA without exponent", `{"kid":"k","kty":"RSA","n":"` + modulus(256) + `"}`, false},
		{"a private RSA key", strings.TrimSuffix(fmt.Sprintf(rsaOf, "AQAB", modulus(256)), "}") + `,"p":"AQAB"}`, false},
		{"null", `null`, false},
		{"an empty object", `{}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys, err := jwtauth.DecodeJWKS([]byte(`{"keys":[` + row.jwk + `]}`))
			if _, taken := keys["k"]; taken != row.taken || taken != (err == nil) || len(keys) > 1 {
				t.Errorf("taken: %v, want %v; %v", taken, row.taken, err)
			}
			beside, err := jwtauth.DecodeJWKS([]byte(`{"keys":[` + row.jwk + `,` + strings.Replace(ec, `"k"`, `"good"`, 1) + `}]}`))
			must(t, err)
			if _, ok := beside["good"]; !ok {
				t.Error("a good key beside it was lost")
			}
		})
	}
}

func TestOfTwoKeysWithOneKidTheFirstCounts(t *testing.T) {
	a, b := newWorld(t), newWorld(t)
	first, second := string(a.keys.JWKS()), string(b.keys.JWKS())
	keys, err := jwtauth.DecodeJWKS([]byte(strings.TrimSuffix(first, "]}") + "," + strings.TrimPrefix(second, `{"keys":[`)))
	must(t, err)
	if len(keys) != 1 || !a.private.PublicKey.Equal(keys[kid].Public()) {
		t.Errorf("got %v", keys)
	}
}

func TestRemoteKeySetTakesHTTPSOrLoopbackOnly(t *testing.T) {
	for _, good := range []string{"https://login.example.com/jwks", "http://127.0.0.1:8080/jwks", "http://localhost/jwks", "http://[::1]:80/jwks"} {
		if _, err := jwtauth.NewRemoteKeySet(good, jwtauth.RemoteOptions{}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "/jwks", "login.example.com/jwks", "http://login.example.com/jwks", "http://10.0.0.1/jwks", "http://localhost.evil.example/",
		"http://127.0.0.1.evil.example/", "ftp://login.example.com", "file:///etc/jwks", "https://user:secret@login.example.com/", "https://", "https://[::1", "javascript:1"} {
		_, err := jwtauth.NewRemoteKeySet(bad, jwtauth.RemoteOptions{})
		if err == nil {
			t.Errorf("%s: accepted", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the address: %v", err)
		}
	}
	if _, err := jwtauth.NewRemoteKeySet("https://login.example.com", jwtauth.RemoteOptions{Timeout: -1}); err == nil {
		t.Error("a negative timeout was accepted")
	}
}
