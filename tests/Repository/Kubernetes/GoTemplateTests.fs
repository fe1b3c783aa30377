/// What renders the charts: the part of Go's templates that they are written in. Expectations are what Go prints.
module Agent.Repository.Tests.GoTemplateTests

open Agent.Build.Helm
open Expecto

let private values =
    Yaml.read
        """
name: gpu
count: 3
shown: true
hidden: false
nothing: null
empty: ""
list: [a, b]
none: []
map: {z: 1, a: "true"}
"""

let private rendered (template: string) : string =
    match GoTemplate.Templates([ "t", template ]).Render values with
    | [ _, text ] -> text
    | other -> failtest $"{other}"

let private fault (template: string) : string =
    try
        failtest $"rendered: {rendered template}"
    with GoTemplate.Fault message ->
        message

[<Tests>]
let tests =
    testList
        "Go templates"
        [
            for template, expected in
                [
                    "a {{ .name }} b", "a gpu b"
                    "a {{- .name }} b", "agpu b"
                    "a\n  {{- .name -}}\n b", "agpub"
                    "a{{/* not printed */}}b", "ab"
                    "a {{- /* trims */ -}} b", "ab"
                    "{{ .count }}", "3"
                    "{{ .name | quote }}", "\"gpu\""
                    "{{ quote .count }}", "\"3\""
                    "{{ default \"x\" .empty }}{{ .name | default \"x\" }}", "xgpu"
                    "{{ if .shown }}yes{{ else }}no{{ end }}", "yes"
                    "{{ if .hidden }}yes{{ else if .shown }}other{{ else }}no{{ end }}", "other"
                    "{{ if .hidden }}yes{{ else if .nothing }}other{{ else }}no{{ end }}", "no"
                    "{{ if and .shown .list }}1{{ end }}{{ if or .hidden .none }}2{{ end }}{{ if not .none }}3{{ end }}", "13"
                    "{{ if not (or .hidden .shown) }}1{{ else }}2{{ end }}", "2"
                    "{{ if eq .name \"gpu\" }}same{{ end }}", "same"
                    "{{ with .map }}{{ .z }}{{ $.name }}{{ end }}", "1gpu"
                    "{{ with .empty }}1{{ else }}2{{ .name }}{{ end }}", "2gpu"
                    "{{ range .list }}<{{ . }}>{{ end }}", "<a><b>"
                    "{{ join \",\" .list }}", "a,b"
                    "{{ toYaml .map }}", "a: \"true\"\nz: 1"
                    "x:{{ toYaml .list | nindent 2 }}", "x:\n  - a\n  - b"
                    "{{ define \"part\" }}[{{ .z }}]{{ end }}{{ include \"part\" .map }}", "[1]"
                    "{{ .name | replace \"g\" \"c\" }}", "cpu"
                ] do
                testCase $"it renders {template}"
                <| fun () -> Expect.equal (rendered template) expected template

            for template, expected in
                [
                    "{{ .nmae }}", "t: {{ .nmae }}: the values have no .nmae"
                    "{{ .name.first }}", "t: {{ .name.first }}: .name has no fields, so no .first"
                    "{{ .map }}", "t: {{ .map }}: prints a list or a map: use toYaml"
                    "{{ .nothing }}", "t: {{ .nothing }}: prints nothing"
                    "{{ upper .name }}", "t: {{ upper .name }}: the function upper with 1 arguments is not one of the subset"
                    "{{ include \"gone\" . }}", "t: {{ include \"gone\" . }}: there is no template gone"
                    "{{ if .shown }}", "t: {{ if .shown }}: has no end"
                    "a{{ end }}", "t: {{ end }}: closes nothing"
                    "{{ fail \"set the name\" }}", "t: set the name"
                ] do
                testCase $"it refuses {template}"
                <| fun () -> Expect.equal (fault template) expected template

            testCase "a plain word that is a boolean for some readers is refused"
            <| fun () ->
                Expect.throwsT<System.InvalidOperationException> (fun () -> Yaml.read "buffering: off" |> ignore) "off needs quotes"

            testCase "values are put over others map by map"
            <| fun () ->
                let merged = Yaml.over (Yaml.read "map: {z: 2, m: 3}\nname: x") values

                match merged with
                | Value.Map entries ->
                    let map = entries |> List.find (fst >> (=) "map") |> snd
                    Expect.equal (Yaml.write map) "a: \"true\"\nm: 3\nz: 2" "the map"
                    Expect.contains entries ("name", Value.Text "x") "the name"
                    Expect.contains entries ("count", Value.Number "3") "the rest stays"
                | other -> failtest $"{other}"
        ]
