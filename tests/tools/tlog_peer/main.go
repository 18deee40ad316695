// The other half of peer.cpp: the same cases by the note and tlog packages of the Go team.
//
//	tlog_peer write SEED    cases on stdout
//	tlog_peer check         cases on stdin; exit 1 and a line on stderr at the first difference
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	notes, proofs, uniforms, tileCases = 400, 1500, 500, 40
	tileHeight                         = 8
)

type tileFile struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// A case has the fields of its kind; []byte and tlog.Hash are base64 in JSON.
type testCase struct {
	Kind        string      `json:"kind"`
	Skey        string      `json:"skey,omitempty"`
	Vkey        string      `json:"vkey,omitempty"`
	Text        []byte      `json:"text,omitempty"`
	Line        []byte      `json:"line,omitempty"`
	Note        []byte      `json:"note,omitempty"`
	Leaf        tlog.Hash   `json:"leaf"`
	Index       int64       `json:"index"`
	OldSize     int64       `json:"old_size"`
	OldRoot     tlog.Hash   `json:"old_root"`
	Size        int64       `json:"size"`
	Root        tlog.Hash   `json:"root"`
	Proof       []tlog.Hash `json:"proof"`
	Inclusion   []tlog.Hash `json:"inclusion"`
	Consistency []tlog.Hash `json:"consistency"`
	Leaves      []tlog.Hash `json:"leaves"`
	Tiles       []tileFile  `json:"tiles"`
	Good        bool        `json:"good"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "write":
		var seed int64
		if seed, err = strconv.ParseInt(os.Args[2], 10, 64); err == nil {
			err = write(rand.New(rand.NewSource(seed)))
		}
	case len(os.Args) == 2 && os.Args[1] == "check":
		err = check()
	default:
		err = errors.New("usage: tlog_peer write SEED | check")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tlog_peer:", err)
		os.Exit(1)
	}
}

// stored holds the hashes of a whole tree as package tlog numbers them.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(s)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[i] = s[index]
	}
	return found, nil
}

func storeAll(leaves []tlog.Hash) stored {
	var all stored
	for n, leaf := range leaves {
		more := must(tlog.StoredHashesForRecordHash(int64(n), leaf, all))
		all = append(all, more...)
	}
	return all
}

// uniform is a tree of any size whose leaves are all the record "same".
type uniform [62]tlog.Hash

func newUniform() *uniform {
	var u uniform
	u[0] = tlog.RecordHash([]byte("same"))
	for i := 1; i < len(u); i++ {
		u[i] = tlog.NodeHash(u[i-1], u[i-1])
	}
	return &u
}

func (u *uniform) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		found[i] = u[level]
	}
	return found, nil
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// signed says whether the note has a good signature of the key. Package note reads base64 whose last
// letter has stray bits; we refuse it, since two spellings of one note are one too many.
func signed(text []byte, vkey string) bool {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return false
	}
	if _, err := note.Open(text, note.VerifierList(verifier)); err != nil {
		return false
	}
	lines := text[bytes.LastIndex(text, []byte("\n\n"))+2:]
	for _, line := range strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n") {
		if _, err := base64.StdEncoding.Strict().DecodeString(line[strings.LastIndex(line, " ")+1:]); err != nil {
			return false
		}
	}
	return true
}

// newTiles lists what a tree has that its beginning of oldSize leaves has not. Package tlog lists the
// partial tiles of all sizes between, too; and its names have the height before the level, which those
// of C2SP have not.
func newTiles(leaves []tlog.Hash, oldSize int64) []tileFile {
	all := storeAll(leaves)
	files := []tileFile{}
	for _, tile := range tlog.NewTiles(tileHeight, oldSize, int64(len(leaves))) {
		shift := uint(tileHeight * tile.L)
		count := int64(len(leaves)) >> shift
		grown := count != oldSize>>shift && int64(tile.W) == count-tile.N<<tileHeight
		if tile.W < 1<<tileHeight && !grown {
			continue
		}
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		files = append(files, tileFile{path, must(tlog.ReadTileData(tile, all))})
	}
	return files
}

// tileFolder serves the files of one tree to package tlog, which checks them against the root.
type tileFolder map[string][]byte

func (f tileFolder) Height() int                         { return tileHeight }
func (f tileFolder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f tileFolder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, ok := f[strings.Replace(tile.Path(), "tile/8/", "tile/", 1)]
		if !ok {
			return nil, fmt.Errorf("no %s", tile.Path())
		}
		found = append(found, data)
	}
	return found, nil
}

// provable walks a published folder: every proof of some records must hold under the root.
func provable(c testCase) error {
	if c.OldSize != 0 || len(c.Leaves) == 0 {
		return nil // not all tiles are there
	}
	folder := tileFolder{}
	for _, file := range c.Tiles {
		folder[file.Path] = file.Data
	}
	tree := tlog.Tree{N: int64(len(c.Leaves)), Hash: c.Root}
	reader := tlog.TileHashReader(tree, folder)
	for n := int64(0); n < tree.N; n += 1 + tree.N/7 {
		proof, err := tlog.ProveRecord(tree.N, n, reader)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, c.Leaves[n]); err != nil {
			return err
		}
	}
	return nil
}

func included(c testCase) bool {
	return c.Index < c.Size && tlog.CheckRecord(c.Proof, c.Size, c.Root, c.Index, c.Leaf) == nil
}

func consistent(c testCase) bool {
	return tlog.CheckTree(c.Proof, c.Size, c.Root, c.OldSize, c.OldRoot) == nil
}

// --- check ---

func agrees(c testCase, u *uniform) error {
	no := errors.New("is answered otherwise here")
	switch c.Kind {
	case "note":
		signer, err := note.NewSigner(c.Skey)
		if err != nil {
			return err
		}
		again, err := note.Sign(&note.Note{Text: string(c.Text)}, signer)
		if err != nil {
			return err
		}
		if !bytes.Equal(again, c.Line) || signed(c.Note, c.Vkey) != c.Good {
			return no
		}
	case "inclusion":
		if included(c) != c.Good {
			return no
		}
	case "consistency":
		if consistent(c) != c.Good {
			return no
		}
	case "uniform":
		root := must(tlog.TreeHash(c.Size, u))
		inclusion := must(tlog.ProveRecord(c.Size, c.Index, u))
		consistency := must(tlog.ProveTree(c.Size, c.Index+1, u))
		same := func(a, b []tlog.Hash) bool { return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b)) }
		if root != c.Root || !same(inclusion, c.Inclusion) || !same(consistency, c.Consistency) {
			return no
		}
	case "tiles":
		if root := must(tlog.TreeHash(int64(len(c.Leaves)), storeAll(c.Leaves))); root != c.Root {
			return no
		}
		if !reflect.DeepEqual(newTiles(c.Leaves, c.OldSize), c.Tiles) {
			return no
		}
		return provable(c)
	default:
		return errors.New("is of an unknown kind")
	}
	return nil
}

func check() error {
	u := newUniform()
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	count := 0
	for ; in.Scan(); count++ {
		var c testCase
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			return fmt.Errorf("case %d: %w", count+1, err)
		}
		if err := agrees(c, u); err != nil {
			return fmt.Errorf("case %d %w: %s", count+1, err, in.Bytes())
		}
	}
	fmt.Println(count, "cases agree")
	return in.Err()
}

// --- write ---

func randomHash(r *rand.Rand) tlog.Hash {
	var h tlog.Hash
	r.Read(h[:])
	return h
}

func randomLeaves(r *rand.Rand, n int64) []tlog.Hash {
	leaves := make([]tlog.Hash, n)
	for i := range leaves {
		leaves[i] = randomHash(r)
	}
	return leaves
}

func randomSize(r *rand.Rand) int64 {
	if r.Intn(4) == 0 {
		return 1 + r.Int63n(600)
	}
	return 1 + r.Int63n(20)
}

func damageText(r *rand.Rand, text []byte) []byte {
	at := r.Intn(len(text))
	switch r.Intn(3) {
	case 0:
		text[at] = byte(r.Intn(256))
		return text
	case 1:
		return append(text[:at:at], text[at+1:]...)
	default:
		return append(append(text[:at:at], byte(r.Intn(256))), text[at:]...)
	}
}

func damageProof(r *rand.Rand, proof []tlog.Hash) []tlog.Hash {
	if len(proof) == 0 {
		return []tlog.Hash{randomHash(r)}
	}
	at := r.Intn(len(proof))
	switch r.Intn(4) {
	case 0:
		proof[at][r.Intn(32)] ^= 1
	case 1:
		proof = append(proof[:at:at], proof[at+1:]...)
	case 2:
		proof = append(proof[:at:at], append([]tlog.Hash{randomHash(r)}, proof[at:]...)...)
	default:
		proof[0], proof[at] = proof[at], proof[0]
	}
	return proof
}

func noteCase(r *rand.Rand) testCase {
	names := []string{"example.com/log", "größe"}
	skey, vkey, err := note.GenerateKey(r, names[r.Intn(2)])
	if err != nil {
		panic(err)
	}
	signer := must(note.NewSigner(skey))
	letters := []string{"a", "Z", " ", "\n", "+", "—", "ü", "\u3000", "\n\n"}
	text := ""
	for n := r.Intn(60); n > 0; n-- {
		text += letters[r.Intn(len(letters))]
	}
	text += "\n"
	c := testCase{Kind: "note", Skey: skey, Vkey: vkey, Text: []byte(text)}
	c.Line = must(note.Sign(&note.Note{Text: text}, signer))
	c.Note = append([]byte{}, c.Line...)
	if r.Intn(3) == 0 {
		otherKey, _, _ := note.GenerateKey(r, "other.example")
		c.Note = must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(otherKey)), signer))
	}
	if r.Intn(4) != 0 {
		c.Note = damageText(r, c.Note)
	}
	c.Good = signed(c.Note, vkey)
	return c
}

func inclusionCase(r *rand.Rand) testCase {
	leaves := randomLeaves(r, randomSize(r))
	all, size := storeAll(leaves), int64(len(leaves))
	c := testCase{Kind: "inclusion", Size: size, Index: r.Int63n(size)}
	c.Root = must(tlog.TreeHash(size, all))
	c.Leaf = leaves[c.Index]
	c.Proof = must(tlog.ProveRecord(size, c.Index, all))
	switch r.Intn(6) {
	case 0:
		c.Proof = damageProof(r, c.Proof)
	case 1:
		c.Index = r.Int63n(size)
	case 2:
		c.Size = 1 + c.Index + r.Int63n(size)
	}
	c.Good = included(c)
	return c
}

func consistencyCase(r *rand.Rand) testCase {
	leaves := randomLeaves(r, randomSize(r))
	all, size := storeAll(leaves), int64(len(leaves))
	c := testCase{Kind: "consistency", Size: size, OldSize: 1 + r.Int63n(size)}
	c.Root = must(tlog.TreeHash(size, all))
	c.OldRoot = must(tlog.TreeHash(c.OldSize, all))
	c.Proof = must(tlog.ProveTree(size, c.OldSize, all))
	switch r.Intn(6) {
	case 0:
		c.Proof = damageProof(r, c.Proof)
	case 1:
		c.OldSize = 1 + r.Int63n(size)
	case 2:
		c.Size = c.OldSize + r.Int63n(size)
	}
	c.Good = consistent(c)
	return c
}

func uniformCase(r *rand.Rand, u *uniform) testCase {
	c := testCase{Kind: "uniform", Size: 1 + r.Int63n(1<<(1+r.Intn(60)))}
	c.Index = r.Int63n(c.Size)
	c.Root = must(tlog.TreeHash(c.Size, u))
	c.Inclusion = must(tlog.ProveRecord(c.Size, c.Index, u))
	c.Consistency = must(tlog.ProveTree(c.Size, c.Index+1, u))
	return c
}

func tilesCase(r *rand.Rand) testCase {
	sizes := []int64{1, 255, 256, 257, 511, 512, 700}
	size := sizes[r.Intn(len(sizes))]
	if r.Intn(2) == 0 {
		size = 1 + r.Int63n(2000)
	}
	c := testCase{Kind: "tiles", Leaves: randomLeaves(r, size)}
	if r.Intn(4) != 0 {
		c.OldSize = r.Int63n(size + 1)
	}
	c.Root = must(tlog.TreeHash(size, storeAll(c.Leaves)))
	c.Tiles = newTiles(c.Leaves, c.OldSize)
	return c
}

func write(r *rand.Rand) error {
	u := newUniform()
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	kinds := []struct {
		count int
		make  func() testCase
	}{
		{notes, func() testCase { return noteCase(r) }},
		{proofs, func() testCase { return inclusionCase(r) }},
		{proofs, func() testCase { return consistencyCase(r) }},
		{uniforms, func() testCase { return uniformCase(r, u) }},
		{tileCases, func() testCase { return tilesCase(r) }},
	}
	for _, kind := range kinds {
		for i := 0; i < kind.count; i++ {
			if err := encoder.Encode(kind.make()); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}
