package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"net/http"
)

// greyAvatarPath is the picture of a snapshot visitor.
const greyAvatarPath = "/mmopen/vi_32/" + greyAvatarID + "/132"

const greyAvatarID = "grey"

// avatarURL has WeChat's form, with the size as last segment (observed, wechat-protocol §1.4). Some people have none.
func (s *Server) avatarURL(r *http.Request, p person) string {
	if p.noAvatar {
		return ""
	}
	return s.publicURL(r) + "/mmopen/vi_32/" + base64.RawURLEncoding.EncodeToString(avatarSeed(p)) + "/132"
}

func avatarSeed(p person) []byte {
	sum := sha256.Sum256([]byte("wxbridge simulator\x00avatar\x00" + p.name))
	return sum[:]
}

// handleAvatar draws the picture from the id alone. WeChat sends JPEG; this is PNG. By switch the address is dead, as
// it is after a change of avatar (documented).
func (s *Server) handleAvatar(w http.ResponseWriter, r *http.Request) {
	side, known := map[string]int{"0": 640, "46": 46, "64": 64, "96": 96, "100": 100, "132": 132}[r.PathValue("size")]
	seed, err := base64.RawURLEncoding.DecodeString(r.PathValue("id"))
	if r.PathValue("id") == greyAvatarID {
		seed, err = nil, nil
	} else if len(seed) != sha256.Size {
		known = false
	}
	if !known || err != nil || s.switches.choice(switchAvatars) == "gone" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("Cache-Control", "public, max-age=2592000")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	png.Encode(w, drawAvatar(seed, side))
}

// drawAvatar paints a symmetric pattern of five by five fields, or a grey head without a seed.
func drawAvatar(seed []byte, side int) image.Image {
	ground, ink := color.RGBA{0xd8, 0xd8, 0xd8, 0xff}, color.RGBA{0xf6, 0xf6, 0xf6, 0xff}
	filled := func(x, y int) bool { return y == 1 && x == 2 || y >= 3 && x >= 1 && x <= 3 }
	if seed != nil {
		ground = color.RGBA{0xe4 + seed[0]>>4, 0xe4 + seed[1]>>4, 0xe4 + seed[2]>>4, 0xff}
		ink = color.RGBA{0x20 + seed[3]>>1, 0x40 + seed[4]>>1, 0x30 + seed[5]>>1, 0xff}
		filled = func(x, y int) bool { return seed[6+y*3+min(x, 4-x)]&1 == 1 }
	}
	img := image.NewPaletted(image.Rect(0, 0, side, side), color.Palette{ground, ink})
	for y := range side {
		for x := range side {
			fx, fy := x*7/side-1, y*7/side-1 // a margin of one field
			if fx >= 0 && fx < 5 && fy >= 0 && fy < 5 && filled(fx, fy) {
				img.SetColorIndex(x, y, 1)
			}
		}
	}
	return img
}
