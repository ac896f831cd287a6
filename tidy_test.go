// Package understudy_test holds the house rules that a machine can check. Each
// rule is a function from the source tree to the places that break it, so that
// it can be tried on planted violations as well.
package understudy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	module       = "github.com/understudy-go/understudy"
	maxFuncLines = 70
	maxTestLines = 120 // of a function in a test: tables are long and hold one idea
	maxFileLines = 400
	maxTestFile  = 700
)

// allowed lists what may break a rule, by rule and place, with the reason. An
// entry that is no longer needed is a violation itself.
var allowed = map[string]string{}

var rules = map[string]func(tree) []string{
	"exports":         undocumentedExports,
	"package-comment": packageComments,
	"func-length":     longFunctions,
	"file-length":     longFiles,
	"ambient":         ambientTimeAndRandomness,
	"sleep":           sleepsInTests,
	"imports":         importsPointOneWay,
	"unfinished":      unfinished,
	"readme":          readmeCodeIsExecuted,
	"house":           houseIsAsDrawn,
}

func TestHouseIsTidy(t *testing.T) {
	all := readTree(t, os.DirFS("."))
	if len(all.sources) < 20 {
		t.Fatalf("only %d Go files found", len(all.sources))
	}
	used := map[string]bool{}
	for name, rule := range rules {
		for _, problem := range rule(all) {
			place, _, _ := strings.Cut(problem, ": ")
			if key := name + " " + place; allowed[key] != "" {
				used[key] = true
				continue
			}
			t.Errorf("%s: %s", name, problem)
		}
	}
	for key := range allowed {
		if !used[key] {
			t.Errorf("allowed, but nothing is wrong there: %s", key)
		}
	}
}

// tree is all source of the repository, nested modules included.
type tree struct {
	sources []source
	texts   map[string]string // README.md, DESIGN.md
	paths   []string          // all files, as far as git would see them
}

type source struct {
	path  string
	text  string
	lines int
	file  *ast.File
	fset  *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s source) in(dir string) bool { return strings.HasPrefix(s.path, dir+"/") }

func (s source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

func (s source) at(n ast.Node) string { return fmt.Sprintf("%s:%d", s.path, s.line(n)) }

func readTree(t *testing.T, root fs.FS) tree {
	t.Helper()
	all := tree{texts: map[string]string{}}
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		all.paths = append(all.paths, p)
		if path.Ext(p) != ".go" && p != "README.md" && p != "DESIGN.md" {
			return nil
		}
		b, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		if path.Ext(p) != ".go" {
			all.texts[p] = string(b)
			return nil
		}
		s := source{path: p, text: string(b), lines: strings.Count(string(b), "\n"), fset: token.NewFileSet()}
		s.file, err = parser.ParseFile(s.fset, p, b, parser.ParseComments)
		all.sources = append(all.sources, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// undocumentedExports asks for a comment on every export. Error, Unwrap and
// String say what they do by their names; a method of an interface may be
// described by name in the comment of the interface.
func undocumentedExports(all tree) (bad []string) {
	for _, s := range all.sources {
		if s.isTest() {
			continue
		}
		report := func(n ast.Node, name string) { bad = append(bad, s.at(n)+": "+name+" has no comment") }
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				selfEvident := d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name)
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !selfEvident {
					report(d, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumentedSpec(d, spec, report)
				}
			}
		}
	}
	return bad
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec, report func(ast.Node, string)) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			return
		}
		if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
			report(spec, spec.Name.Name)
		}
		if i, ok := spec.Type.(*ast.InterfaceType); ok {
			for _, m := range i.Methods.List {
				if len(m.Names) > 0 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil &&
					!strings.Contains(d.Doc.Text()+spec.Doc.Text(), m.Names[0].Name) {
					report(m, spec.Name.Name+"."+m.Names[0].Name)
				}
			}
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				report(name, name.Name)
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func packageComments(all tree) (bad []string) {
	commented, seen := map[string]bool{}, map[string]bool{}
	var dirs []string
	for _, s := range all.sources {
		dir := path.Dir(s.path)
		if s.isTest() {
			continue
		}
		if !seen[dir] {
			seen[dir], dirs = true, append(dirs, dir)
		}
		commented[dir] = commented[dir] || s.file.Doc != nil
	}
	for _, dir := range dirs {
		if !commented[dir] {
			bad = append(bad, dir+": no package comment")
		}
	}
	return bad
}

func longFunctions(all tree) (bad []string) {
	for _, s := range all.sources {
		limit := maxFuncLines
		if s.isTest() {
			limit = maxTestLines
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.line(f) + 1; n > limit {
				bad = append(bad, fmt.Sprintf("%s %s: %d lines, %d is the most", s.path, f.Name.Name, n, limit))
			}
		}
	}
	return bad
}

func longFiles(all tree) (bad []string) {
	for _, s := range all.sources {
		limit := maxFileLines
		if s.isTest() {
			limit = maxTestFile
		}
		if s.lines > limit {
			bad = append(bad, fmt.Sprintf("%s: %d lines, %d is the most", s.path, s.lines, limit))
		}
	}
	return bad
}

// ambientTimeAndRandomness: a seed or a clock is passed, never taken from
// around. In persist the wall clock may be read where a comment on the line or
// the one above says "clock", since there it is production's.
func ambientTimeAndRandomness(all tree) (bad []string) {
	for _, s := range all.sources {
		strict := s.in("fsim") || s.in("harness")
		if s.isTest() || !strict && !s.in("persist") {
			continue
		}
		named := map[int]bool{}
		for _, g := range s.file.Comments {
			if strings.Contains(g.Text(), "clock") {
				named[s.fset.Position(g.End()).Line] = true
			}
		}
		for _, c := range calls(s) {
			l := s.line(c.node)
			switch {
			case c.pkg == "time" && slices.Contains([]string{"Now", "Since", "Until"}, c.name):
				if strict || !named[l] && !named[l-1] {
					bad = append(bad, s.at(c.node)+": time."+c.name)
				}
			case (c.pkg == "math/rand" || c.pkg == "math/rand/v2") && !strings.HasPrefix(c.name, "New"):
				bad = append(bad, s.at(c.node)+": the global rand."+c.name)
			}
		}
	}
	return bad
}

type call struct {
	node      *ast.CallExpr
	pkg, name string
}

// calls are the calls of functions of imported packages.
func calls(s source) (cs []call) {
	imports := map[string]string{}
	for _, i := range s.file.Imports {
		p := strings.Trim(i.Path.Value, `"`)
		name := strings.TrimSuffix(p, "/v2")
		name = name[strings.LastIndexByte(name, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		imports[name] = p
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && imports[x.Name] != "" {
					cs = append(cs, call{c, imports[x.Name], sel.Sel.Name})
				}
			}
		}
		return true
	})
	return cs
}

// sleepsInTests: in a bubble of testing/synctest time is fake; anywhere else a
// sleep is a flake. A sleep is in a bubble where it stands in the arguments of
// synctest.Test, or of a function of the package that calls it; a helper that
// runs in a bubble says so in its comment. Benchmarks live in real time.
func sleepsInTests(all tree) (bad []string) {
	openers := map[string]bool{"synctest.Test": true} // by folder and name
	within := func(inner, outer ast.Node) bool { return outer.Pos() <= inner.Pos() && inner.End() <= outer.End() }
	for _, s := range all.sources {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			opens := func(c call) bool { return c.pkg == "testing/synctest" && c.name == "Test" && within(c.node, f) }
			if ok && s.isTest() && slices.ContainsFunc(calls(s), opens) {
				openers[path.Dir(s.path)+" "+f.Name.Name] = true
			}
		}
	}
	for _, s := range all.sources {
		if !s.isTest() || path.Base(s.path) == "bench_test.go" {
			continue
		}
		var bubbles []ast.Node
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if strings.Contains(n.Doc.Text(), "bubble") {
					bubbles = append(bubbles, n)
				}
			case *ast.CallExpr:
				if name := calledName(n); openers[name] || openers[path.Dir(s.path)+" "+name] {
					bubbles = append(bubbles, n)
				}
			}
			return true
		})
		for _, c := range calls(s) {
			in := func(bubble ast.Node) bool { return within(c.node, bubble) }
			if c.pkg == "time" && c.name == "Sleep" && !slices.ContainsFunc(bubbles, in) {
				bad = append(bad, s.at(c.node)+": time.Sleep outside a bubble")
			}
		}
	}
	return bad
}

// calledName is "f" of f(…), and "x.f" of x.f(…).
func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}

// importsPointOneWay holds the arrows of DESIGN.md.
func importsPointOneWay(all tree) (bad []string) {
	never := []struct{ from, to string }{
		{"persist", module + "/fsim"}, {"persist", module + "/harness"}, {"persist", module + "/examples"},
		{"fsim", module + "/persist"}, {"fsim", module + "/harness"}, {"fsim", "github.com/anthdm/hollywood"},
		{"harness", module + "/examples"},
	}
	for _, s := range all.sources {
		if s.isTest() {
			continue
		}
		for _, i := range s.file.Imports {
			to := strings.Trim(i.Path.Value, `"`)
			for _, n := range never {
				if s.in(n.from) && (to == n.to || strings.HasPrefix(to, n.to+"/")) {
					bad = append(bad, s.at(i)+": "+n.from+" must not import "+to)
				}
			}
			store := strings.HasPrefix(to, module+"/persist/") && !strings.Contains(to, "/internal/")
			if path.Dir(s.path) == "persist" && store {
				bad = append(bad, s.at(i)+": persist must not import "+to)
			}
		}
	}
	return bad
}

var unfinishedWord = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func unfinished(all tree) (bad []string) {
	for _, s := range all.sources {
		for _, g := range s.file.Comments {
			if w := unfinishedWord.FindString(g.Text()); w != "" {
				bad = append(bad, s.at(g)+": "+w)
			}
		}
	}
	return bad
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// readmeCodeIsExecuted: each Go block of the README stands, indentation aside,
// in a file of Examples or in a program below examples/, and each block of text
// that is not what a command printed in the Output of an Example; and there are
// exactly two commands to set out with.
func readmeCodeIsExecuted(all tree) (bad []string) {
	readme := all.texts["README.md"]
	var executed []string
	for _, s := range all.sources {
		switch {
		case s.in("examples") && !s.isTest():
			executed = append(executed, unindented(s.text))
		case s.isTest() && slices.ContainsFunc(s.file.Decls, isExample):
			executed = append(executed, unindented(s.text))
		}
	}
	setup := 0
	for _, block := range fenced.FindAllStringSubmatch(readme, -1) {
		code := unindented(block[2])
		runs := func(s string) bool { return strings.Contains(s, code) }
		switch {
		case block[1] == "text" && strings.HasPrefix(code, "$ "):
		case (block[1] == "go" || block[1] == "text") && !slices.ContainsFunc(executed, runs):
			first, _, _ := strings.Cut(code, "\n")
			bad = append(bad, "README.md: the block that starts with "+first+" is in no Example and no program of examples/")
		case block[1] == "sh" && strings.HasPrefix(code, "go run ./examples/manager"):
			setup = strings.Count(code, "\n")
		}
	}
	if setup != 2 {
		bad = append(bad, fmt.Sprintf("README.md: the block of set-up commands has %d lines, not 2", setup))
	}
	return bad
}

func isExample(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	return ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example")
}

// unindented drops what tells a block in a file from the same block by itself:
// indentation, and the slashes in front of an Output.
func unindented(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "//")
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

var drawnPath = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*/?$`)

// houseIsAsDrawn compares the drawing under "The house" in DESIGN.md with the
// tree: what is drawn exists, and every entry of the top level is drawn.
func houseIsAsDrawn(all tree) (bad []string) {
	_, house, ok := strings.Cut(all.texts["DESIGN.md"], "## The house")
	block := fenced.FindStringSubmatch(house)
	if !ok || block == nil {
		return []string{"DESIGN.md: no drawing under \"The house\""}
	}
	exists, top := map[string]bool{}, map[string]bool{}
	for _, p := range all.paths {
		first, _, _ := strings.Cut(p, "/")
		top[first] = true
		for p != "." {
			exists[p], p = true, path.Dir(p)
		}
	}
	parent := ""
	drawn := map[string]bool{}
	for line := range strings.Lines(block[2]) {
		inner := strings.HasPrefix(line, "  ")
		for i, word := range regexp.MustCompile(` {2,}|\n`).Split(strings.TrimSpace(line), -1) {
			if i > 0 && (!strings.Contains(word, ".") || !drawnPath.MatchString(word)) && word != "LICENSE" {
				break // the description
			}
			p := strings.TrimSuffix(word, "/")
			switch {
			case inner:
				p = path.Join(parent, p)
			default:
				parent = p
			}
			first, _, _ := strings.Cut(p, "/")
			drawn[first] = true
			if !exists[p] {
				bad = append(bad, "DESIGN.md: draws "+p+", which is not there")
			}
		}
	}
	for name := range top {
		if !drawn[name] {
			bad = append(bad, name+": is not in the drawing of DESIGN.md")
		}
	}
	slices.Sort(bad)
	return bad
}

func TestEveryHouseRuleCanFail(t *testing.T) {
	long := func(n int) string {
		return "// Package x is.\npackage x\n\nfunc f() {\n" + strings.Repeat("\tf()\n", n) + "}\n"
	}
	doc := "// Package x is.\npackage x\n\n"
	house := func(drawing string) map[string]string {
		return map[string]string{"DESIGN.md": "## The house\n\n```\n" + drawing + "\n```\n", "persist/x.go": doc}
	}
	readme := func(block string) map[string]string {
		return map[string]string{
			"README.md":          "```sh\ngo run ./examples/manager\ngo test ./...\n```\n\n" + block,
			"persist/ex_test.go": "package x\n\nfunc Example() {\n\tspawn()\n\t// Output:\n\t// live\n}\n",
			"examples/a/main.go": "package main\n\nfunc main() {}\n",
		}
	}
	file := func(p, text string) map[string]string { return map[string]string{p: text} }
	for _, tc := range []struct {
		rule, want string // "" where nothing is wrong
		files      map[string]string
	}{
		{"exports", "x.go:4: F has no comment", file("x.go", doc+"func F() {}\n")},
		{"exports", "x.go:6: T.M has no comment", file("x.go", doc+"// T is.\ntype T interface {\n\tM()\n}\n")},
		{"exports", "x.go:4: C has no comment", file("nested/x.go", doc+"const C = 1\n")},
		{"exports", "x.go:4: M has no comment", file("x.go", doc+"func (t *T[A]) M() {}\n")},
		{"exports", "", file("x.go", doc+"// The errors.\nvar (\n\tErrX = 1\n)\n\nfunc (t *t) M() {}\n")},
		{"package-comment", "no package comment", file("a/x.go", "package x\n")},
		{"func-length", "71 lines, 70 is the most", file("x.go", long(69))},
		{"func-length", "", file("x.go", long(68))},
		{"func-length", "121 lines", file("x_test.go", long(119))},
		{"file-length", "401 lines", file("x.go", doc+strings.Repeat("\n", 398))},
		{"file-length", "", file("x_test.go", doc+strings.Repeat("\n", 398))},
		{"ambient", "x.go:6: time.Now", file("fsim/x.go", doc+"import \"time\"\n\nvar a = time.Now() // the clock\n")},
		{"ambient", "x.go:6: time.Since", file("persist/x.go", doc+"import \"time\"\n\nvar a = time.Since(b)\n")},
		{"ambient", "", file("persist/x.go", doc+"import \"time\"\n\nvar a = time.Now() // the wall clock\n")},
		{"ambient", "the global rand.IntN", file("harness/x.go", doc+"import \"math/rand/v2\"\n\nvar a = rand.IntN(3)\n")},
		{"ambient", "the global rand.Perm", file("persist/x.go", doc+"import r \"math/rand\"\n\nvar a = r.Perm(3)\n")},
		{"ambient", "", file("fsim/x.go", doc+"import \"math/rand/v2\"\n\nvar a = rand.New(rand.NewPCG(1, 2))\n")},
		{"sleep", "x_test.go:5: time.Sleep", file("x_test.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n")},
		{"sleep", "", file("x_test.go", "package x\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc f() { synctest.Test(t, func() { time.Sleep(1) }) }\n")},
		{"sleep", "", file("x_test.go", "package x\n\nimport (\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc g(f any) { synctest.Test(f) }\n\nfunc f() { g(func() { time.Sleep(1) }) }\n")},
		{"sleep", "", file("x_test.go", "package x\n\nimport \"time\"\n\n// f runs in a bubble.\nfunc f() { time.Sleep(1) }\n")},
		{"sleep", "", file("a/bench_test.go", "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n")},
		{"imports", "fsim must not import", file("fsim/x.go", doc+"import _ \"github.com/anthdm/hollywood/actor\"\n")},
		{"imports", "persist must not import", file("persist/filestore/x.go", doc+"import _ \""+module+"/fsim\"\n")},
		{"imports", "persist must not import", file("persist/x.go", doc+"import _ \""+module+"/persist/filestore\"\n")},
		{"imports", "", file("persist/filestore/x.go", doc+"import _ \""+module+"/persist/internal/owner\"\n")},
		{"unfinished", "TO" + "DO", file("x.go", doc+"// TO"+"DO: all.\n")},
		{"readme", "starts with stop()", readme("```go\nstop()\n```\n")},
		{"readme", "", readme("```go\nspawn()\n```\n")},
		{"readme", "starts with dead", readme("```text\ndead\n```\n")},
		{"readme", "", readme("```text\nlive\n```\n\n```text\n$ go run\nwhat it printed\n```\n")},
		{"readme", "has 3 lines, not 2", file("README.md", "```sh\ngo run ./examples/manager\nmake\ngo test ./...\n```\n")},
		{"house", "draws fsim, which is not there", house("persist/  actors\nfsim/  a disk\nDESIGN.md")},
		{"house", "draws persist/y, which is not there", house("persist/  actors\n  y/  more\nDESIGN.md")},
		{"house", "persist: is not in the drawing", house("DESIGN.md")},
		{"house", "", house("DESIGN.md\npersist/  actors that come back")},
	} {
		disk := fstest.MapFS{}
		for p, text := range tc.files {
			disk[p] = &fstest.MapFile{Data: []byte(text)}
		}
		bad := strings.Join(rules[tc.rule](readTree(t, disk)), "\n")
		if tc.want == "" && bad != "" || !strings.Contains(bad, tc.want) {
			t.Errorf("%s on %v:\nfound %q\nwant  %q", tc.rule, tc.files, bad, tc.want)
		}
	}
}
