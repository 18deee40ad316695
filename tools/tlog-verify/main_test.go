package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A log of seven records made by the Go team's packages, and the proof of its record 3.
type example struct {
	vkey, proof, record string
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

func makeExample(t *testing.T) example {
	t.Helper()
	const size, index = 7, 3
	var stored hashes
	for n := int64(0); n < size; n++ {
		more, err := tlog.StoredHashes(n, []byte(fmt.Sprintf("record %d", n)), stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(size, stored)
	if err != nil {
		t.Fatal(err)
	}
	siblings, err := tlog.ProveRecord(size, index, stored)
	if err != nil {
		t.Fatal(err)
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, "example.studio/ledger")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	head, err := note.Sign(&note.Note{Text: fmt.Sprintf("example.studio/ledger\n%d\n%s\n", size, root)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	text := "c2sp.org/tlog-proof@v1\nindex 3\n"
	for _, sibling := range siblings {
		text += sibling.String() + "\n"
	}
	return example{vkey, text + "\n" + string(head), "record 3"}
}

func (e example) verify(t *testing.T) error {
	t.Helper()
	folder := t.TempDir()
	proof, record := filepath.Join(folder, "proof"), filepath.Join(folder, "record")
	for path, text := range map[string]string{proof: e.proof, record: e.record} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := verify(e.vkey, proof, record)
	return err
}

func TestTakesAGoodProof(t *testing.T) {
	good := makeExample(t)
	if err := good.verify(t); err != nil {
		t.Error(err)
	}
	good.proof = strings.Replace(good.proof, "index", "extra YWdl\nindex", 1)
	if err := good.verify(t); err != nil {
		t.Error("with extra:", err)
	}
}

// The example of docs/formats/proof.md, made by this project.
func TestTakesTheDocumentedExample(t *testing.T) {
	text, err := os.ReadFile("../../tests/ledger/data/example.tlog-proof")
	if err != nil {
		t.Fatal(err)
	}
	vkey := "example.studio/ledger+10c7425a+AS7zI7RbjWECq9Q/nqingGFRFvol0X3oBcyYKClqGzQe"
	if err := (example{vkey, string(text), "blue"}).verify(t); err != nil {
		t.Error(err)
	}
	if err := (example{vkey, string(text), "cyan"}).verify(t); err == nil {
		t.Error("accepted for another record")
	}
}

func TestTreeHeads(t *testing.T) {
	const good = "example.com/log\n12\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	for text, ok := range map[string]bool{
		good:                    true,
		good + "extension\n":    true,
		good + "a b\n+\n":       true,
		good + "extension":      false,
		good + "\n":             false,
		good + "\nextension\n":  false,
		good[:len(good)-1]:      false,
		"example.com/log\n12\n": false,
		strings.ToUpper(good):   false,
		strings.TrimPrefix(good, "example.com/log"): false,
	} {
		if _, err := parseTreeHead(text, "example.com/log"); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRefusesEverythingElse(t *testing.T) {
	good := makeExample(t)
	lines := strings.Split(good.proof, "\n")
	sibling := lines[2]
	raw, err := base64.StdEncoding.DecodeString(sibling)
	if err != nil {
		t.Fatal(err)
	}
	raw[31] ^= 1
	replace := func(old, new string) example {
		bad := good
		bad.proof = strings.Replace(good.proof, old, new, 1)
		if bad.proof == good.proof {
			t.Fatalf("%q is not in the proof", old)
		}
		return bad
	}
	cases := map[string]struct {
		bad  example
		says string
	}{
		"another version":         {replace("@v1", "@v2"), "line 1"},
		"another record":          {example{good.vkey, good.proof, "record 4"}, "not in the tree"},
		"an empty record":         {example{good.vkey, good.proof, ""}, "not in the tree"},
		"a record too long":       {example{good.vkey, good.proof, strings.Repeat("x", maxRecord+1)}, "at most"},
		"another index":           {replace("index 3", "index 2"), "not in the tree"},
		"an index out of range":   {replace("index 3", "index 7"), "not below"},
		"a leading zero":          {replace("index 3", "index 03"), "not a count"},
		"a sign":                  {replace("index 3", "index +3"), "not a count"},
		"a negative index":        {replace("index 3", "index -3"), "not a count"},
		"no index":                {replace("index 3\n", ""), "not an index"},
		"extra after index":       {replace("index 3\n", "index 3\nextra YWdl\n"), "not a SHA-256"},
		"extra that is no base64": {replace("index 3\n", "extra !\nindex 3\n"), "extra"},
		"a sibling changed":       {replace(sibling, base64.StdEncoding.EncodeToString(raw)), "not in the tree"},
		"a sibling missing":       {replace(sibling+"\n", ""), "not in the tree"},
		"a sibling twice":         {replace(sibling, sibling+"\n"+sibling), "not in the tree"},
		"a sibling cut short":     {replace(sibling, sibling[:40]), "not a SHA-256"},
		"white space":             {replace(sibling, sibling+" "), "not a SHA-256"},
		"a carriage return":       {replace(sibling, sibling+"\r"), "not a SHA-256"},
		"another size":            {replace("\n7\n", "\n8\n"), "invalid signature"},
		"another origin":          {replace("example.studio/ledger\n", "example.studio/other\n"), "invalid signature"},
		"no tree head":            {replace(good.proof[strings.Index(good.proof, "\n\n"):], "\n"), "blank line"},
		"no signature":            {replace(good.proof[strings.LastIndex(good.proof, "—"):], ""), "malformed note"},
		"another key":             {example{makeExample(t).vkey, good.proof, good.record}, "no verifiable signatures"},
		"a key that is none":      {example{"example.studio/ledger", good.proof, good.record}, "malformed verifier id"},
	}
	for name, c := range cases {
		err := c.bad.verify(t)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; expected %q", name, err, c.says)
		}
	}
}
