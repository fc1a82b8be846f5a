package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"wxbridge/db"
	"wxbridge/internal/config"
	"wxbridge/internal/keyring"
	"wxbridge/jwtauth"
)

func (e *env) tokenCommand() *cobra.Command {
	token := &cobra.Command{
		Use:   "token",
		Short: "Look into tokens",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var jwks string
	var data dataFlag
	inspect := &cobra.Command{
		Use:   "inspect [TOKEN]",
		Short: "Show what a token says, and whether its signature is good",
		Long: `Show the header and the claims of a token, and whether its signature is good. Give the token on stdin rather than as an
argument where others can see the process list.

The public keys come from --jwks, else from the bridge's own database if its configuration is at hand. The exit code is 1
if the token cannot be read or its signature is bad.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := tokenText(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			keys, err := e.inspectKeys(cmd.Context(), jwks, data)
			if err != nil {
				return err
			}
			return inspectToken(cmd.Context(), e.stdout, raw, keys)
		},
	}
	data.add(inspect)
	inspect.Flags().StringVar(&jwks, "jwks", "", "`URL` of the key set, https://…/.well-known/jwks.json")
	token.AddCommand(inspect)
	return token
}

const maxTokenBytes = 8 << 10

// tokenText takes the token from the argument, or from stdin where there is none or it is "-".
func tokenText(args []string, stdin io.Reader) (string, error) {
	text := ""
	if len(args) == 1 && args[0] != "-" {
		text = args[0]
	} else {
		content, err := io.ReadAll(io.LimitReader(stdin, maxTokenBytes+1024))
		if err != nil {
			return "", fmt.Errorf("read the token from stdin: %w", err)
		}
		text = string(content)
	}
	text = strings.TrimSpace(text)
	if scheme, rest, found := strings.Cut(text, " "); found && strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(rest)
	}
	switch {
	case text == "":
		return "", errors.New("no token: give it as an argument or on stdin")
	case len(text) > maxTokenBytes:
		return "", fmt.Errorf("that is no token of ours: it is longer than %d bytes", maxTokenBytes)
	}
	return text, nil
}

// inspectionKeys are the keys a signature is checked with, or why there are none.
type inspectionKeys struct {
	source jwtauth.KeySource
	origin string // where they are from
	absent string // why source is nil
}

func (e *env) inspectKeys(ctx context.Context, jwksURL string, data dataFlag) (inspectionKeys, error) {
	if jwksURL != "" {
		source, err := jwtauth.NewRemoteKeySet(jwksURL, jwtauth.RemoteOptions{})
		if err != nil {
			return inspectionKeys{}, fmt.Errorf("--jwks: %w", err)
		}
		return inspectionKeys{source: source, origin: jwksURL}, nil
	}
	cfg, err := e.configFor(data)
	if data.dir != "" && err != nil {
		return inspectionKeys{}, err
	}
	if err != nil {
		return inspectionKeys{absent: "give --jwks URL, or run this where the bridge's configuration is"}, nil
	}
	if _, err := os.Stat(databasePath(cfg)); err != nil {
		return inspectionKeys{absent: "there is no database at " + databasePath(cfg) + "; give --jwks URL"}, nil
	}
	source, err := storedKeys(ctx, cfg)
	if err != nil {
		return inspectionKeys{absent: err.Error()}, nil
	}
	return inspectionKeys{source: source, origin: cfg.Database}, nil
}

// storedKeys reads the keys of the bridge's own database.
func storedKeys(ctx context.Context, cfg config.Config) (jwtauth.KeySource, error) {
	box, err := newBox(cfg)
	if err != nil {
		return nil, err
	}
	store, err := db.Open(ctx, cfg.Database, time.Now)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return keyring.Load(ctx, store, box, time.Now) // which makes no first key, as a start does
}

// inspectToken writes what the token says. The token itself, a credential, is not written.
func inspectToken(ctx context.Context, w io.Writer, raw string, keys inspectionKeys) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return fmt.Errorf("that is no token: it has %s where a signed JWT has 3", count(len(parts), "part"))
	}
	header, err := decodePart(parts[0], "header")
	if err != nil {
		return err
	}
	claims, err := decodePart(parts[1], "payload")
	if err != nil {
		return err
	}
	now := time.Now()
	fmt.Fprintln(w, "header")
	printMembers(w, header, now, "alg", "kid", "typ")
	fmt.Fprintln(w, "claims")
	printMembers(w, claims, now, "iss", "sub", "aud", "client_id", "exp", "iat", "nbf", "auth_time", "jti", "sid")
	fmt.Fprintln(w, "kind\n  "+kindOfToken(header, claims))
	fmt.Fprintln(w, "signature")
	if keys.source == nil {
		fmt.Fprintf(w, "  not checked: %s\n", keys.absent)
		return nil
	}
	kid, _ := header["kid"].(string)
	if err := checkSignature(ctx, raw, kid, keys.source); err != nil {
		fmt.Fprintf(w, "  BAD: %v\n", err)
		return errors.New("the signature is not good")
	}
	fmt.Fprintf(w, "  good, by a key of %s\n", keys.origin)
	return nil
}

func decodePart(part, name string) (map[string]any, error) {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("that is no token: its %s is not base64url without padding", name)
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var members map[string]any
	if err := dec.Decode(&members); err != nil || members == nil || dec.More() {
		return nil, fmt.Errorf("that is no token: its %s is not a JSON object", name)
	}
	return members, nil
}

// printMembers writes one member a line, those named first, with times in words.
func printMembers(w io.Writer, members map[string]any, now time.Time, first ...string) {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		i, j := slices.Index(first, a), slices.Index(first, b)
		switch {
		case i >= 0 && j >= 0:
			return i - j
		case i >= 0:
			return -1
		case j >= 0:
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		fmt.Fprintf(w, "  %-10s %s\n", safeText(name), memberText(name, members[name], now))
	}
}

func memberText(name string, value any, now time.Time) string {
	switch v := value.(type) {
	case string:
		return safeText(v)
	case json.Number:
		seconds, err := v.Int64()
		if err == nil && slices.Contains([]string{"exp", "iat", "nbf", "auth_time"}, name) {
			return v.String() + "  " + timeText(time.Unix(seconds, 0), now)
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "?"
	}
	return safeText(string(text))
}

func timeText(t, now time.Time) string {
	distance := t.Sub(now).Round(time.Second)
	if distance < 0 {
		return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.RFC3339), -distance)
	}
	return fmt.Sprintf("%s (in %s)", t.UTC().Format(time.RFC3339), distance)
}

// safeText keeps what a token holds from controlling the terminal.
func safeText(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func kindOfToken(header, claims map[string]any) string {
	exp, _ := claims["exp"].(json.Number)
	life := ""
	if seconds, err := exp.Int64(); err != nil {
		life = ", without a time of expiry"
	} else if !time.Unix(seconds, 0).After(time.Now()) {
		life = ", expired"
	}
	switch typ, _ := header["typ"].(string); strings.ToLower(strings.TrimPrefix(strings.ToLower(typ), "application/")) {
	case "at+jwt":
		return "access token" + life
	case "jwt":
		return "ID token, for reading only, never a credential" + life
	default:
		return "unknown" + life
	}
}

// checkSignature checks the signature alone, with the algorithm of the key that kid names.
func checkSignature(ctx context.Context, raw, kid string, keys jwtauth.KeySource) error {
	key, err := keys.Key(ctx, kid)
	switch {
	case errors.Is(err, jwtauth.ErrUnknownKey):
		return errors.New("no key of the set has this kid")
	case err != nil:
		return fmt.Errorf("the keys cannot be had: %w", err)
	}
	check := any(key.Public())
	if key.Alg() == jwtauth.HS256 {
		if check, err = key.MarshalPrivate(); err != nil {
			return err
		}
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{key.Alg()}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	_, err = parser.Parse(raw, func(*jwt.Token) (any, error) { return check, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return errors.New("it does not fit the key and algorithm that kid names")
	case err != nil:
		return errors.New("it cannot be checked")
	}
	return nil
}
