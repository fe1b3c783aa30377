/// The part of Go's text/template, with the functions that Helm adds, in which the charts are written: fields, `if`, `else if`, `else`,
/// `with`, `range` over lists, `define`, `include`, pipes, parentheses, constants and the functions of `call`. It is stricter than Helm in one thing: a
/// field that is not in the values is an error, so that a misspelt value does not pass for an empty one.
[<RequireQualifiedAccess>]
module Agent.Build.Helm.GoTemplate

open System
open System.Collections.Generic
open System.Text.RegularExpressions

/// What cannot be parsed or rendered: one sentence that names the action.
exception Fault of message: string

[<RequireQualifiedAccess>]
type private Term =
    /// `.a.b`, below the dot, or `$.a.b`, below the root.
    | Field of isRoot: bool * path: string list
    | Constant of Value
    | Group of Term list list

[<RequireQualifiedAccess>]
type private Node =
    | Literal of string
    | Print of action: string * pipeline: Term list list
    /// Conditions in their order, and what holds otherwise.
    | If of branches: (string * Term list list * Node list) list * otherwise: Node list
    | With of action: string * pipeline: Term list list * body: Node list * otherwise: Node list
    | Range of action: string * pipeline: Term list list * body: Node list

/// A function's name stands in a pipeline as this constant.
let private functionMark = "\000"

let private fault (action: string) (message: string) : 'a =
    raise (Fault $"{{{{ {action} }}}}: {message}")

// ---- Parsing ------------------------------------------------------------------------------------------------------------

let private actionForm =
    Regex(@"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", RegexOptions.Singleline ||| RegexOptions.CultureInvariant)

let private tokenForm =
    Regex(@"\G\s*(""(?:[^""\\]|\\.)*""|[()|]|[^\s()|""]+)", RegexOptions.CultureInvariant)

/// Literals and actions by turns, white space trimmed where an action says so.
let private parts (text: string) : (bool * string) list =
    let found = List<struct (bool * string)>()
    let mutable at = 0
    let mutable trims = false

    let literal (upTo: int) (trimsEnd: bool) =
        let piece = text.Substring(at, upTo - at)
        let piece = if trims then piece.TrimStart() else piece
        let piece = if trimsEnd then piece.TrimEnd() else piece

        if piece <> "" then
            found.Add(struct (false, piece))

    for hit in actionForm.Matches text do
        literal hit.Index hit.Groups[1].Success
        let action = hit.Groups[2].Value

        if not (action.StartsWith("/*", StringComparison.Ordinal)) then
            found.Add(struct (true, action))

        trims <- hit.Groups[3].Success
        at <- hit.Index + hit.Length

    literal text.Length false
    [ for struct (isAction, piece) in found -> isAction, piece ]

let private tokens (action: string) : string list =
    let rec next at =
        match tokenForm.Match(action, at) with
        | hit when hit.Success -> hit.Groups[1].Value :: next (hit.Index + hit.Length)
        | _ when String.IsNullOrWhiteSpace(action.Substring at) -> []
        | _ -> fault action "cannot be read"

    next 0

let private fieldPath (token: string) : string list =
    token.Split('.', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

/// The pipeline, and what follows its closing parenthesis.
let rec private pipeline (action: string) (words: string list) : Term list list * string list =
    let rec step (commands: Term list list) (terms: Term list) (words: string list) =
        let finished () = List.rev (List.rev terms :: commands)

        match words with
        | [] -> finished (), []
        | ")" :: rest -> finished (), rest
        | "|" :: rest -> step (List.rev terms :: commands) [] rest
        | "(" :: rest ->
            let inner, rest = pipeline action rest
            step commands (Term.Group inner :: terms) rest
        | word :: rest ->
            let term =
                match word[0] with
                | '"' -> Term.Constant(Value.Text(Regex.Unescape(word.Substring(1, word.Length - 2))))
                | '.' -> Term.Field(false, fieldPath word)
                | '$' -> Term.Field(true, fieldPath (word.Substring 1))
                | _ when word = "true" || word = "false" -> Term.Constant(Value.Bool(word = "true"))
                | first when Char.IsAsciiDigit first -> Term.Constant(Value.Number word)
                | _ when terms.IsEmpty -> Term.Constant(Value.Text(functionMark + word))
                | _ -> fault action $"{word} is not known here"

            step commands (term :: terms) rest

    step [] [] words

let private whole (action: string) (words: string list) : Term list list =
    match pipeline action words with
    | found, [] -> found
    | _ -> fault action "has a parenthesis too many"

/// The nodes up to `end` or `else`, the action that ended them, and what follows it.
let rec private nodes
    (definitions: Dictionary<string, Node list>)
    (input: (bool * string) list)
    : Node list * string * (bool * string) list =
    let rec step found input =
        match input with
        | [] -> List.rev found, "", []
        | (false, text) :: rest -> step (Node.Literal text :: found) rest
        | (true, action) :: rest ->
            match tokens action with
            | [ "end" ]
            | "else" :: _ -> List.rev found, action, rest
            | "if" :: condition ->
                let node, rest = branches action condition rest
                step (node :: found) rest
            | "with" :: words ->
                let body, closing, rest = nodes definitions rest

                let otherwise, rest =
                    if closing = "else" then
                        let otherwise, _, rest = nodes definitions rest
                        otherwise, rest
                    else
                        [], rest

                step (Node.With(action, whole action words, body, otherwise) :: found) rest
            | "range" :: words ->
                match nodes definitions rest with
                | body, "end", rest -> step (Node.Range(action, whole action words, body) :: found) rest
                | _ -> fault action "has no end"
            | [ "define"; name ] ->
                let body, _, rest = nodes definitions rest
                definitions[name.Trim '"'] <- body
                step found rest
            | words -> step (Node.Print(action, whole action words) :: found) rest

    and branches action condition rest =
        let body, closing, rest = nodes definitions rest
        let first = action, whole action condition, body

        match tokens closing with
        | [ "end" ] -> Node.If([ first ], []), rest
        | [ "else" ] ->
            let otherwise, _, rest = nodes definitions rest
            Node.If([ first ], otherwise), rest
        | "else" :: "if" :: condition ->
            match branches closing condition rest with
            | Node.If(others, otherwise), rest -> Node.If(first :: others, otherwise), rest
            | other, rest -> Node.If([ first ], [ other ]), rest
        | _ -> fault action "has no end"

    step [] input

// ---- Rendering ----------------------------------------------------------------------------------------------------------

/// What Go takes for true: neither nothing nor empty.
let private isTrue (value: Value) =
    match value with
    | Value.Null
    | Value.Bool false
    | Value.Number "0"
    | Value.Text ""
    | Value.List []
    | Value.Map [] -> false
    | _ -> true

let private textOf (action: string) (value: Value) : string =
    match value with
    | Value.Text text
    | Value.Number text -> text
    | Value.Bool flag -> if flag then "true" else "false"
    | Value.Null -> fault action "prints nothing"
    | _ -> fault action "prints a list or a map: use toYaml"

let private indented (count: int) (text: string) =
    text.Split '\n'
    |> Array.map (fun line -> String(' ', count) + line)
    |> String.concat "\n"

/// The templates of a chart, parsed, by the texts of their files. Raises `Fault`.
type Templates(files: (string * string) list) =
    let definitions = Dictionary<string, Node list>()

    let parsed =
        [
            for name, text in files ->
                try
                    match nodes definitions (parts text) with
                    | found, "", _ -> name, found
                    | _, closing, _ -> fault closing "closes nothing"
                with Fault message ->
                    raise (Fault $"{name}: {message}")
        ]

    let rec field (action: string) (seen: string) (value: Value) (path: string list) : Value =
        match path, value with
        | [], _ -> value
        | name :: rest, Value.Map entries ->
            match entries |> List.tryFind (fst >> (=) name) with
            | Some(_, inner) -> field action $"{seen}.{name}" inner rest
            | None -> fault action $"the values have no {seen}.{name}"
        | name :: _, _ -> fault action $"{seen} has no fields, so no .{name}"

    let rec term root dot action (one: Term) : Value =
        match one with
        | Term.Constant(Value.Text text) when text.StartsWith(functionMark, StringComparison.Ordinal) ->
            call root action (text.Substring functionMark.Length) []
        | Term.Constant value -> value
        | Term.Field(isRoot, path) -> field action "" (if isRoot then root else dot) path
        | Term.Group inner -> value root dot action inner

    and value root dot action (commands: Term list list) : Value =
        let command (piped: Value list) (terms: Term list) =
            match terms with
            | Term.Constant(Value.Text text) :: arguments when text.StartsWith(functionMark, StringComparison.Ordinal) ->
                call root action (text.Substring functionMark.Length) ((arguments |> List.map (term root dot action)) @ piped)
            | [ one ] when piped.IsEmpty -> term root dot action one
            | _ -> fault action "only functions take arguments"

        match commands with
        | [] -> fault action "is empty"
        | first :: others ->
            others
            |> List.fold (fun piped next -> command [ piped ] next) (command [] first)

    /// The functions that there are.
    and call root action (name: string) (arguments: Value list) : Value =
        match name, arguments with
        | "include", [ Value.Text template; dot ] ->
            match definitions.TryGetValue template with
            | true, body -> Value.Text(render root dot body)
            | _ -> fault action $"there is no template {template}"
        | "toYaml", [ one ] -> Value.Text(Yaml.write one)
        | "quote", [ one ] -> Value.Text(Yaml.quoted (textOf action one))
        | "indent", [ Value.Number count; Value.Text text ] -> Value.Text(indented (int count) text)
        | "nindent", [ Value.Number count; Value.Text text ] -> Value.Text("\n" + indented (int count) text)
        | "default", [ fallback; one ] -> if isTrue one then one else fallback
        | "not", [ one ] -> Value.Bool(not (isTrue one))
        | "and", first :: others ->
            others
            |> List.fold (fun found next -> if isTrue found then next else found) first
        | "or", first :: others ->
            others
            |> List.fold (fun found next -> if isTrue found then found else next) first
        | "eq", [ one; other ] -> Value.Bool(one = other)
        | "join", [ Value.Text separator; Value.List items ] -> Value.Text(items |> List.map (textOf action) |> String.concat separator)
        | "replace", [ Value.Text before; Value.Text after; Value.Text text ] -> Value.Text(text.Replace(before, after))
        | "fail", [ Value.Text reason ] -> raise (Fault reason)
        | _ -> fault action $"the function {name} with {arguments.Length} arguments is not one of the subset"

    and render root dot (body: Node list) : string =
        body
        |> List.map (fun node ->
            match node with
            | Node.Literal text -> text
            | Node.Print(action, pipeline) -> textOf action (value root dot action pipeline)
            | Node.If(branches, otherwise) ->
                branches
                |> List.tryFind (fun (action, condition, _) -> isTrue (value root dot action condition))
                |> Option.map (fun (_, _, chosen) -> chosen)
                |> Option.defaultValue otherwise
                |> render root dot
            | Node.With(action, pipeline, chosen, otherwise) ->
                match value root dot action pipeline with
                | found when isTrue found -> render root found chosen
                | _ -> render root dot otherwise
            | Node.Range(action, pipeline, each) ->
                match value root dot action pipeline with
                | Value.List items -> items |> List.map (fun item -> render root item each) |> String.concat ""
                | Value.Null -> ""
                | _ -> fault action "goes over lists only")
        |> String.concat ""

    /// Each file rendered with these values at its root. Raises `Fault`.
    member _.Render(root: Value) : (string * string) list =
        [
            for name, body in parsed ->
                try
                    name, render root root body
                with Fault message ->
                    raise (Fault $"{name}: {message}")
        ]
