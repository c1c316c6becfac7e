package contract

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	plainText = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(?:[.-][A-Za-z0-9_]+)*$`)
	// words are what YAML takes for something else than text.
	words = regexp.MustCompile(`(?i)^(?:y|n|yes|no|on|off|true|false|null|none|nan|inf)$`)
)

// plain is text as YAML has it: without quotes where that is safe.
func plain(text string) string {
	if plainText.MatchString(text) && !words.MatchString(text) {
		return text
	}
	return quoted(text)
}

// quoted is a literal in double quotes, the same as gomachinery_py/contracts/quoting.py makes.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case isHidden(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isHidden says which characters change how a line is shown or where it ends.
func isHidden(r rune) bool {
	in := func(low, high rune) bool { return low <= r && r <= high }
	return in(0x80, 0x9f) || r == 0x61c || in(0x200b, 0x200f) || in(0x2028, 0x202e) || in(0x2060, 0x206f) ||
		r == 0xfeff || in(0xfffe, 0xffff)
}
