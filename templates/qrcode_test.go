package templates_test

import (
	"context"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"wxbridge/internal/testenv"
	"wxbridge/templates"
)

func TestQRCodeIsReadByAnIndependentReader(t *testing.T) {
	zbarimg := testenv.Program(t, "zbarimg")
	for name, text := range map[string]string{
		"a short address":              "http://127.0.0.1:8080/login",
		"an address with a query":      "https://login.example.com/login?return_to=https%3A%2F%2Fh5.example.com%2Fcart%3Fitem%3D42%26colour%3Dred&scope=userinfo",
		"the longest return address":   "https://login.example.com/login?return_to=" + strings.Repeat("a/", 512),
		"one that needs the low level": "https://login.example.com/login?return_to=" + strings.Repeat("%E4%BD%A0", 300),
	} {
		t.Run(name, func(t *testing.T) {
			code, err := templates.NewQRCode(text)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			read, err := exec.CommandContext(ctx, zbarimg, "--quiet", "--raw", "--nodbus", writePNG(t, code)).Output()
			if err != nil {
				t.Fatalf("zbarimg: %v", err)
			}
			if got := strings.TrimSuffix(string(read), "\n"); got != text {
				t.Errorf("read %q, want %q", got, text)
			}
		})
	}
}

func TestQRCodeHasItsQuietZoneAndFinders(t *testing.T) {
	code, err := templates.NewQRCode("https://login.example.com/login")
	if err != nil {
		t.Fatal(err)
	}
	dark := modules(t, code)
	if code.Size < 21+8 || (code.Size-8-21)%4 != 0 {
		t.Errorf("%d modules a side", code.Size)
	}
	for y := range code.Size {
		for x := range code.Size {
			outside := min(x, y, code.Size-1-x, code.Size-1-y) < 4
			if outside && dark[y][x] {
				t.Fatalf("dark module in the quiet zone at %d,%d", x, y)
			}
		}
	}
	finder := []string{"#######", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######"}
	for _, corner := range [][2]int{{4, 4}, {code.Size - 11, 4}, {4, code.Size - 11}} {
		for y, row := range finder {
			for x, want := range row {
				if dark[corner[1]+y][corner[0]+x] != (want == '#') {
					t.Fatalf("no finder pattern at %v", corner)
				}
			}
		}
	}
}

func TestQRCodeOfTooLongAnAddress(t *testing.T) {
	code, err := templates.NewQRCode(strings.Repeat("a", 2954))
	if err == nil || code != (templates.QRCode{}) {
		t.Fatalf("code of %d modules, error %v", code.Size, err)
	}
	page := render(t, templates.English, templates.Scan{URL: "https://login.example.com/login", QR: code})
	if strings.Contains(page, "<svg") || !strings.Contains(page, `<p id="url" class="address">https://login.example.com/login</p>`) {
		t.Error("the page does not show the address alone")
	}
}

func FuzzNewQRCode(f *testing.F) {
	for _, seed := range []string{"", "0123456789", "HTTPS://EXAMPLE.COM", "https://例子.cn/登录", "\xff\x00", strings.Repeat("a", 3000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, err := templates.NewQRCode(text)
		if (err != nil) != (code == templates.QRCode{}) {
			t.Fatalf("%d modules and error %v", code.Size, err)
		}
		if err != nil && len(text) < 2900 {
			t.Fatalf("%d bytes do not fit: %v", len(text), err)
		}
		if err == nil {
			modules(t, code)
		}
	})
}

// modules draws the path of a code, and fails unless it stays inside its square and draws nothing twice.
func modules(t *testing.T, code templates.QRCode) [][]bool {
	t.Helper()
	dark := make([][]bool, code.Size)
	for y := range dark {
		dark[y] = make([]bool, code.Size)
	}
	run := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)
	if rest := run.ReplaceAllString(code.Path, ""); rest != "" {
		t.Fatalf("path holds %.40q", rest)
	}
	for _, m := range run.FindAllStringSubmatch(code.Path, -1) {
		x, y, width := number(t, m[1]), number(t, m[2]), number(t, m[3])
		if m[3] != m[4] || y >= code.Size || x+width > code.Size {
			t.Fatalf("%s leaves the square of %d", m[0], code.Size)
		}
		for i := range width {
			if dark[y][x+i] {
				t.Fatalf("%s draws over another run", m[0])
			}
			dark[y][x+i] = true
		}
	}
	return dark
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// writePNG draws a code with four pixels a module and gives the file's path.
func writePNG(t *testing.T, code templates.QRCode) string {
	t.Helper()
	const scale = 4
	picture := image.NewGray(image.Rect(0, 0, scale*code.Size, scale*code.Size))
	for y, row := range modules(t, code) {
		for x, dark := range row {
			if dark {
				continue
			}
			for i := range scale * scale {
				picture.SetGray(scale*x+i%scale, scale*y+i/scale, color.Gray{Y: 255})
			}
		}
	}
	path := filepath.Join(t.TempDir(), "qr.png")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := png.Encode(file, picture); err != nil {
		t.Fatal(err)
	}
	return path
}
