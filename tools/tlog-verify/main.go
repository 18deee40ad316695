// tlog-verify checks that a record is in a ledger, with code that this project did not write: the
// note and tlog packages of the Go team (golang.org/x/mod/sumdb).
//
//	tlog-verify VKEY PROOF RECORD
//
// VKEY is the log's verifier key, or a .pub file that holds it; PROOF a file as in
// https://c2sp.org/tlog-proof; RECORD the bytes of the record. Exit 0: the record is in the log that
// VKEY signed. Exit 1: it is not, or a file does not parse, and one line says why. Exit 2: usage.
//
// Build, with Debian's golang-go and golang-golang-x-mod-dev and nothing from the network:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o tlog-verify ./tools/tlog-verify
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxRecord is the C2SP tlog-tiles limit on the size of a record.
const maxRecord = 65535

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tlog-verify VKEY|FILE.pub PROOF RECORD")
		os.Exit(2)
	}
	answer, err := verify(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlog-verify:", err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

func verify(key, proofFile, recordFile string) (string, error) {
	verifier, err := logVerifier(key)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return "", err
	}
	record, err := os.ReadFile(recordFile)
	if err != nil {
		return "", err
	}
	if len(record) > maxRecord {
		return "", fmt.Errorf("%s: %d bytes, a record has at most %d", recordFile, len(record), maxRecord)
	}
	proof, err := parseProof(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", proofFile, err)
	}
	signed, err := note.Open([]byte(proof.head), note.VerifierList(verifier))
	if err != nil {
		return "", fmt.Errorf("%s: tree head: %w", proofFile, err)
	}
	tree, err := parseTreeHead(signed.Text, verifier.Name())
	if err != nil {
		return "", fmt.Errorf("%s: tree head: %w", proofFile, err)
	}
	if proof.index >= tree.N {
		return "", fmt.Errorf("%s: index %d is not below the tree size %d", proofFile, proof.index, tree.N)
	}
	if err := tlog.CheckRecord(proof.siblings, tree.N, tree.Hash, proof.index, tlog.RecordHash(record)); err != nil {
		return "", fmt.Errorf("%s: record %d is not in the tree of size %d: %w", recordFile, proof.index, tree.N, err)
	}
	return fmt.Sprintf("ok: record %d is in %s at size %d, root %s", proof.index, verifier.Name(), tree.N, tree.Hash), nil
}

// logVerifier takes a verifier key, or a file with one line "log vkey".
func logVerifier(key string) (note.Verifier, error) {
	if !strings.HasSuffix(key, ".pub") {
		return note.NewVerifier(key)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "log" {
			return note.NewVerifier(words[1])
		}
	}
	return nil, fmt.Errorf("%s: no line \"log VKEY\"", key)
}

type proof struct {
	index    int64
	siblings tlog.RecordProof
	head     string // the signed note, verbatim
}

// parseProof is strict: a tolerant reader of signed things finds two meanings in one file.
func parseProof(text string) (proof, error) {
	var p proof
	header, head, found := strings.Cut(text, "\n\n")
	if !found {
		return p, errors.New("no blank line before the tree head")
	}
	lines := strings.Split(header, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return p, errors.New("line 1 is not c2sp.org/tlog-proof@v1")
	}
	at := 1
	if at < len(lines) && strings.HasPrefix(lines[at], "extra ") {
		if _, err := base64.StdEncoding.Strict().DecodeString(lines[at][len("extra "):]); err != nil {
			return p, fmt.Errorf("line %d: extra: %w", at+1, err)
		}
		at++
	}
	if at >= len(lines) || !strings.HasPrefix(lines[at], "index ") {
		return p, fmt.Errorf("line %d is not an index", at+1)
	}
	index, err := parseCount(lines[at][len("index "):])
	if err != nil {
		return p, fmt.Errorf("line %d: index: %w", at+1, err)
	}
	p.index = index
	for i, line := range lines[at+1:] {
		sibling, err := parseHash(line)
		if err != nil {
			return p, fmt.Errorf("line %d: %w", at+2+i, err)
		}
		p.siblings = append(p.siblings, sibling)
	}
	p.head = head
	return p, nil
}

// parseTreeHead reads the text of a https://c2sp.org/tlog-checkpoint, whose origin must be the name of
// the key that signed it. Extension lines say nothing about the tree.
func parseTreeHead(text, origin string) (tlog.Tree, error) {
	var tree tlog.Tree
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return tree, errors.New("not three lines: origin, size, root")
	}
	for _, extension := range lines[3 : len(lines)-1] {
		if extension == "" {
			return tree, errors.New("an empty extension line")
		}
	}
	if lines[0] != origin {
		return tree, fmt.Errorf("origin is %q, the key is for %q", lines[0], origin)
	}
	size, err := parseCount(lines[1])
	if err != nil {
		return tree, fmt.Errorf("size: %w", err)
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return tree, fmt.Errorf("root: %w", err)
	}
	tree.N, tree.Hash = size, root
	return tree, nil
}

// parseCount takes what strconv writes and nothing else: no sign, no leading zero.
func parseCount(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return 0, fmt.Errorf("%q is not a count", text)
	}
	return n, nil
}

func parseHash(text string) (tlog.Hash, error) {
	var hash tlog.Hash
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(bytes) != tlog.HashSize || base64.StdEncoding.EncodeToString(bytes) != text {
		return hash, fmt.Errorf("%q is not a SHA-256 in base64", text)
	}
	copy(hash[:], bytes)
	return hash, nil
}
