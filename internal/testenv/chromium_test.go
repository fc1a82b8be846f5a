package testenv_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"wxbridge/internal/testenv"
)

// The page is not ready at once: the first button vanishes under the finger, the second moves away.
const unready = `<!doctype html><div id="place"><button id="go">go</button></div><p id="clicks"></p>
<script>
let fingers = 0;
addEventListener('mousedown', () => {
  fingers++;
  if (fingers === 1) place.innerHTML = '<button id="go">go</button>';
  if (fingers === 2) place.style.marginTop = '100px';
});
addEventListener('click', (e) => { if (e.target.id === 'go') clicks.textContent += 'after ' + fingers + ' '; });
</script>`

func TestClick_UntilThePageHearsIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(unready)) }))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(testenv.Chromium(t), 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL), testenv.Click("#go"), testenv.Click("#go")); err != nil {
		t.Fatal(err)
	}
	if got, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("#clicks"))); err != nil || got != "after 3 after 4" {
		t.Errorf("clicks: %q, %v", got, err)
	}
}

// An element that never comes ends with the context.
func TestClick_OnNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(testenv.Chromium(t), 2*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, testenv.Click("#none")); err == nil {
		t.Error("no error")
	}
}
