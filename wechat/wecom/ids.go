package wecom

// FoldUserID is the form of a userid by which two are compared and one is stored:
// WeCom takes upper and lower case for the same member (wecom-protocol §0.3).
func FoldUserID(userID string) string {
	folded := []byte(userID)
	for i, b := range folded {
		if 'A' <= b && b <= 'Z' {
			folded[i] = b + 'a' - 'A'
		}
	}
	return string(folded)
}

// isUserID reports whether s could be a userid.
func isUserID(s string) bool {
	return within(s, maxUserID, func(b byte) bool { return isCode(b) || b == '.' || b == '@' })
}

// within reports whether s has 1 to limit bytes, all of a kind.
func within(s string, limit int, is func(byte) bool) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isAlnum(b byte) bool { return isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }

// isCode is for codes, which need no escaping in a query.
func isCode(b byte) bool { return isAlnum(b) || b == '_' || b == '-' }

func isVisible(b byte) bool { return ' ' < b && b <= '~' }
