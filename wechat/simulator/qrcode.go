package simulator

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"rsc.io/qr"
)

const (
	pathQRCreate = "/cgi-bin/qrcode/create"
	pathQRShow   = "/cgi-bin/showqrcode"
)

const (
	qrDefaultLife = 60        // seconds, documented (wechat-protocol §7.1)
	qrMaxLife     = 2_592_000 // documented
	qrMaxForever  = 100_000   // permanent codes of an account, and the largest scene_id of one (documented)
	qrSceneMax    = 64        // characters of a scene_str, documented
)

// qrCode is a parametric QR code.
type qrCode struct {
	app     *App
	ticket  string
	address string // what the picture says
	scene   string
	made    time.Time
	expires time.Time // zero: never
}

// qrRequest is the body of qrcode/create.
type qrRequest struct {
	ExpireSeconds int64  `json:"expire_seconds"`
	ActionName    string `json:"action_name"`
	ActionInfo    struct {
		Scene *qrScene `json:"scene"`
	} `json:"action_info"`
}

type qrScene struct {
	ID  json.Number `json:"scene_id"`
	Str string      `json:"scene_str"`
}

// qrReply has neither errcode nor errmsg (documented); a permanent code has no expire_seconds.
type qrReply struct {
	Ticket        string `json:"ticket"`
	ExpireSeconds int64  `json:"expire_seconds,omitempty"`
	URL           string `json:"url"`
}

// handleQRCreate is POST /cgi-bin/qrcode/create (wechat-protocol §7.1).
func (s *Server) handleQRCreate(w http.ResponseWriter, r *http.Request) {
	app, errcode := s.callingAccount(r)
	var body qrRequest
	if errcode == 0 {
		errcode = readPost(w, r, &body)
	}
	var scene string
	if errcode == 0 {
		scene, errcode = body.scene()
	}
	if errcode == 0 && body.forever() && !s.qrQuota.take(app.AppID) {
		errcode = 40053 // documented: also when the permanent codes are used up
	}
	if errcode != 0 {
		s.refuse(w, r, errcode)
		return
	}
	code := s.newQRCode(app, scene, body.life())
	writeCGI(w, qrReply{Ticket: code.ticket, ExpireSeconds: body.life(), URL: code.address})
}

func (q qrRequest) forever() bool { return strings.HasPrefix(q.ActionName, "QR_LIMIT_") }

// life is in seconds; 0: for ever.
func (q qrRequest) life() int64 {
	switch {
	case q.forever():
		return 0
	case q.ExpireSeconds <= 0: // documented for a missing one
		return qrDefaultLife
	}
	return q.ExpireSeconds
}

// scene checks the request. Where action_info has no object scene the code is made all the same and its scene is 0
// (observed). That a life beyond 30 days is refused is assumed.
func (q qrRequest) scene() (string, int) {
	byNumber := []string{"QR_SCENE", "QR_LIMIT_SCENE"}
	byText := []string{"QR_STR_SCENE", "QR_LIMIT_STR_SCENE"}
	scene := q.ActionInfo.Scene
	switch {
	case !slices.Contains(byNumber, q.ActionName) && !slices.Contains(byText, q.ActionName):
		return "", 40052
	case q.ExpireSeconds > qrMaxLife && !q.forever():
		return "", 40097
	case scene == nil:
		return "0", 0
	case slices.Contains(byText, q.ActionName):
		if n := utf8.RuneCountInString(scene.Str); n < 1 || n > qrSceneMax {
			return "", 40053
		}
		return scene.Str, 0
	}
	id, err := strconv.ParseUint(scene.ID.String(), 10, 32)
	if err != nil || id == 0 || q.forever() && id > qrMaxForever {
		return "", 40053
	}
	return strconv.FormatUint(id, 10), 0
}

// newQRCode makes a code and keeps it. seconds 0: for ever.
func (s *Server) newQRCode(app *App, scene string, seconds int64) qrCode {
	now := s.now()
	code := qrCode{app: app, scene: scene, made: now}
	if seconds > 0 {
		code.expires = now.Add(time.Duration(seconds) * time.Second)
	}
	code.ticket, code.address = newQRTicket(now, uint32(seconds))
	s.qrCodes.put(code.ticket, code, now)
	s.qrAddresses.put(code.address, code.ticket, now)
	return code
}

// foreverCount counts the permanent codes of each account; they cannot be deleted (documented).
type foreverCount struct {
	mu   sync.Mutex
	made map[string]int
}

// take counts one more, if there may be one.
func (c *foreverCount) take(appID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil {
		c.made = map[string]int{}
	}
	if c.made[appID] >= qrMaxForever {
		return false
	}
	c.made[appID]++
	return true
}

// newQRAddress is like http://weixin.qq.com/q/02wPFKBmPJfu21QQPIxycG (observed, wechat-protocol §7.1).
func newQRAddress() string { return "http://weixin.qq.com/q/02" + newCode()[1:21] }

// newQRTicket makes a ticket and the address in it, with the anatomy of real ones (observed, wechat-protocol §7.1). Real
// ones are standard base64; here no ticket has a +, because several SDKs put tickets into addresses unescaped. In its
// place stands a /, so that now and then a byte of the anatomy is off by a bit.
func newQRTicket(now time.Time, seconds uint32) (ticket, address string) {
	address = newQRAddress()
	raw := []byte{0x81, 0x01, 0, 0, 0x3c, 0, 0, 0, 0, 0, 0, 0, 0x01, byte(len(address) + 1)}
	rand.Read(raw[2:4])
	raw = append(append(raw, address...), 0, 0x02, 0x04)
	raw = append(binary.LittleEndian.AppendUint32(raw, uint32(now.Unix())), 0x03, 0x04)
	raw = binary.LittleEndian.AppendUint32(raw, seconds)
	return strings.ReplaceAll(base64.StdEncoding.EncodeToString(raw), "+", "/"), address
}

// findQRCode takes a ticket or what the picture says.
func (s *Server) findQRCode(text string) (qrCode, bool) {
	if ticket, ok := s.qrAddresses.get(text); ok {
		text = ticket
	}
	code, ok := s.qrCodes.get(text)
	return code, ok
}

func (s *Server) qrExpired(code qrCode) bool {
	return !code.expires.IsZero() && !s.now().Before(code.expires)
}

// handleQRShow is GET /cgi-bin/showqrcode: no token; 404 for a bad ticket (documented, wechat-protocol §7.2), and for one
// whose time is up (assumed).
func (s *Server) handleQRShow(w http.ResponseWriter, r *http.Request) {
	code, ok := s.qrCodes.get(r.URL.Query().Get("ticket"))
	if !ok || s.qrExpired(code) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	writeQRPicture(w, code.address)
}

// writeQRPicture sends a QR code of 430 by 430 points, as JPEG under WeChat's name for that type (documented).
func writeQRPicture(w http.ResponseWriter, text string) {
	picture, err := drawQR(text, 430)
	if err != nil {
		http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, picture, &jpeg.Options{Quality: 90}); err != nil {
		http.Error(w, "simulator: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/jpg")
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	w.Write(buf.Bytes())
}

// drawQR paints a code with a quiet zone of four fields or more.
func drawQR(text string, side int) (image.Image, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, err
	}
	scale := max(1, side/(code.Size+8))
	margin := (side - scale*code.Size) / 2
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{color.White, color.Black})
	for y := range scale * code.Size {
		for x := range scale * code.Size {
			if code.Black(x/scale, y/scale) {
				img.SetColorIndex(margin+x, margin+y, 1)
			}
		}
	}
	return img, nil
}
