package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wxbridge/db"
	"wxbridge/handlers"
	"wxbridge/wechat"
	"wxbridge/wechat/simulator"
)

const eventsPath = "/events/official-account"

// pushModes are the forms that a console offers. In plain mode the bridge has no key.
var pushModes = []string{simulator.ModePlain, simulator.ModeCompatible, simulator.ModeAES}

// eventBridge is a bridge that takes the simulator's pushes in one mode. What the simulator sends goes through a relay, which
// keeps it and may send it several times at once.
type eventBridge struct {
	*bridge
	mode string

	mu      sync.Mutex
	sent    []pushed
	copies  int          // of each push; 1 at first
	answers []pushAnswer // to all copies of the last push
}

// pushed is a push as it was sent.
type pushed struct {
	query url.Values
	body  string
}

type pushAnswer struct {
	status int
	body   string
	header http.Header
	took   time.Duration
}

func newEventBridge(t testing.TB, mode string, change ...func(*handlers.Config)) *eventBridge {
	t.Helper()
	e := &eventBridge{mode: mode, copies: 1}
	relay := httptest.NewServer(http.HandlerFunc(e.relay))
	t.Cleanup(relay.Close)
	e.bridge = newBridgeWithEvents(t, relay.URL+eventsPath, append([]func(*handlers.Config){withoutWebsites, func(c *handlers.Config) {
		for i := range c.OfficialAccounts {
			c.OfficialAccounts[i].Callback = e.callback(t, c.OfficialAccounts[i].Client.AppID(), c.Now)
		}
	}}, change...)...)
	e.control("PUT", "/_simulator/switches", `{"push-mode":"`+mode+`","mark-fail":"off"}`)
	must(t, e.store.SetEndpoints(t.Context(), []db.Endpoint{{Name: "shop", Events: []string{"*"}}}))
	return e
}

func (e *eventBridge) callback(t testing.TB, appID string, now func() time.Time) *wechat.Callback {
	t.Helper()
	dev := simulator.DevApps("127.0.0.1")[0]
	c := wechat.CallbackConfig{AppID: appID, Token: wechat.Secret(dev.Token), Now: now}
	if e.mode != simulator.ModePlain {
		c.AESKey = wechat.Secret(dev.EncodingAESKey)
	}
	callback, err := wechat.NewCallback(c)
	must(t, err)
	return callback
}

// relay passes a push on, as often as it is told to, and gives WeChat the first answer.
func (e *eventBridge) relay(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.sent = append(e.sent, pushed{r.URL.Query(), string(body)})
	answers := make([]pushAnswer, e.copies)
	e.mu.Unlock()
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = e.send(r.Method, r.URL.Query(), string(body)) })
	}
	all.Wait()
	e.mu.Lock()
	e.answers = answers
	e.mu.Unlock()
	w.Header().Set("Content-Type", answers[0].header.Get("Content-Type"))
	w.WriteHeader(answers[0].status)
	io.WriteString(w, answers[0].body)
}

// send makes one request to the bridge.
func (e *eventBridge) send(method string, query url.Values, body string, header ...string) pushAnswer {
	request, err := http.NewRequest(method, e.url+eventsPath+"?"+query.Encode(), strings.NewReader(body))
	if err != nil {
		e.t.Error(err)
		return pushAnswer{}
	}
	request.Header.Set("Content-Type", "text/xml")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	start := time.Now()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Error(err)
		return pushAnswer{}
	}
	defer response.Body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(response.Body); err != nil {
		e.t.Error(err)
	}
	return pushAnswer{response.StatusCode, content.String(), response.Header, time.Since(start)}
}

// push lets an event happen in the simulator and gives its report.
func (e *eventBridge) push(person string, event simulator.Event) simulator.PushReport {
	e.t.Helper()
	report, err := e.sim.Push(e.t.Context(), e.official.AppID, person, event)
	must(e.t, err)
	return report
}

// delivered is push, and the push must be taken.
func (e *eventBridge) delivered(person string, event simulator.Event) simulator.PushReport {
	e.t.Helper()
	report := e.push(person, event)
	if !report.Delivered || len(report.Attempts) != 1 {
		e.t.Fatalf("%s: %+v", event.Name, report)
	}
	return report
}

// last is the newest push that the simulator has sent.
func (e *eventBridge) last() pushed {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.sent) == 0 {
		e.t.Fatal("nothing was pushed")
	}
	p := e.sent[len(e.sent)-1]
	clone := url.Values{}
	for k, v := range p.query {
		clone[k] = append([]string(nil), v...)
	}
	return pushed{clone, p.body}
}

// sealed is a push of any content, signed and encrypted as WeChat would, in AES mode.
func (e *eventBridge) sealed(content string) pushed {
	e.t.Helper()
	return e.sealedFor(content, e.official.EncodingAESKey, e.official.AppID)
}

func (e *eventBridge) sealedFor(content, key, appID string) pushed {
	e.t.Helper()
	c, err := wechat.NewMessageCipher(wechat.Secret(key), appID)
	must(e.t, err)
	ciphertext, err := c.Seal([]byte(content), [16]byte([]byte("0123456789abcdef")))
	must(e.t, err)
	return e.envelope(ciphertext)
}

func (e *eventBridge) envelope(ciphertext string) pushed {
	p := pushed{e.signed(), "<xml><ToUserName><![CDATA[gh_0]]></ToUserName><Encrypt><![CDATA[" + ciphertext + "]]></Encrypt></xml>"}
	p.query.Set("encrypt_type", "aes")
	p.query.Set("msg_signature", wechat.MessageSignature(wechat.Secret(e.official.Token), p.query.Get("timestamp"), p.query.Get("nonce"), ciphertext))
	return p
}

// signed is the query of a push in plain mode.
func (e *eventBridge) signed() url.Values {
	at := strconv.FormatInt(e.clock.Now().Unix(), 10)
	return url.Values{"timestamp": {at}, "nonce": {"314159"}, "openid": {"o"},
		"signature": {wechat.MessageSignature(wechat.Secret(e.official.Token), at, "314159")}}
}

// carry is a push of any content in the bridge's mode.
func (e *eventBridge) carry(content string) pushed {
	e.t.Helper()
	if e.mode == simulator.ModePlain {
		return pushed{e.signed(), content}
	}
	return e.sealed(content)
}

// told is what backends would be told: the events since the last call, oldest first.
func (e *eventBridge) told() []toldEvent {
	e.t.Helper()
	var all []toldEvent
	for {
		for n, err := 1, error(nil); n > 0; {
			n, err = e.store.FanOut(e.t.Context())
			must(e.t, err)
		}
		deliveries, err := e.store.ClaimDeliveries(e.t.Context(), "shop", 100, time.Minute)
		must(e.t, err)
		if len(deliveries) == 0 {
			return all
		}
		for _, d := range deliveries {
			told := toldEvent{ID: d.EventID, Type: d.Type, CreatedAt: d.CreatedAt}
			must(e.t, json.Unmarshal(d.Data, &told.Data))
			all = append(all, told)
			must(e.t, e.store.Delivered(e.t.Context(), d.Receipt))
		}
	}
}

type toldEvent struct {
	ID, Type  string
	CreatedAt time.Time
	Data      map[string]any
}

func typesOf(events []toldEvent) string {
	var types []string
	for _, t := range events {
		types = append(types, t.Type)
	}
	return strings.Join(types, " ")
}

// openID is that of a person at the official account.
func (e *eventBridge) openID(person string) string {
	e.t.Helper()
	response, err := http.Get(e.simURL + "/_simulator/people")
	must(e.t, err)
	defer response.Body.Close()
	var answer struct {
		People []struct {
			Name     string
			Accounts []struct{ AppID, OpenID string }
		}
	}
	must(e.t, json.NewDecoder(response.Body).Decode(&answer))
	for _, p := range answer.People {
		for _, a := range p.Accounts {
			if p.Name == person && a.AppID == e.official.AppID {
				return a.OpenID
			}
		}
	}
	e.t.Fatalf("%s has no openid", person)
	return ""
}

// identity is what is stored of a person at the official account.
func (e *eventBridge) identity(person string) (db.Fan, db.Identity) {
	e.t.Helper()
	fan, identity, err := e.store.FanByIdentity(e.t.Context(), db.ProviderOfficialAccount, e.official.AppID, e.openID(person))
	must(e.t, err)
	return fan, identity
}

// me is the answer of GET /me.
func (w *browser) me() map[string]any {
	w.t.Helper()
	p := w.get("/me")
	var me map[string]any
	if err := json.Unmarshal([]byte(p.body), &me); err != nil || p.StatusCode != http.StatusOK {
		w.t.Fatalf("GET /me: %d %s", p.StatusCode, p.body)
	}
	return me
}

// followed is what /me says of the official account: true, false or nil.
func (w *browser) followed() any {
	w.t.Helper()
	for _, i := range w.me()["identities"].([]any) {
		if identity := i.(map[string]any); identity["provider"] == "official_account" {
			return identity["subscribed"]
		}
	}
	return "no official account"
}
