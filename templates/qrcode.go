package templates

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// QRCode is a QR code as the parts of an inline SVG: a square viewBox of Size units, quiet zone included, and the
// dark modules as the data of one path.
type QRCode struct {
	Size int
	Path string
}

// quietZone is the light margin that readers need, in modules (ISO/IEC 18004 §5.3.8).
const quietZone = 4

// NewQRCode encodes text. It takes the medium level of error correction, or the low one where only that leaves room;
// more than 2,953 bytes fit into no QR code and are an error.
func NewQRCode(text string) (QRCode, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		code, err = qr.Encode(text, qr.L)
	}
	if err != nil {
		return QRCode{}, fmt.Errorf("templates: encode %d bytes as a QR code: %w", len(text), err)
	}
	return QRCode{Size: code.Size + 2*quietZone, Path: modules(code)}, nil
}

// modules draws each run of dark modules in a row as one rectangle, so that no seams show between them.
func modules(code *qr.Code) string {
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			start := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if width := x - start; width > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start+quietZone, y+quietZone, width, width)
			}
		}
	}
	return path.String()
}
