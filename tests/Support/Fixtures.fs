/// The texts under tests/fixtures, found from wherever the tests run, and the few helpers that most tests share.
module Agent.TestSupport.Fixtures

open System
open System.IO
open System.Text
open Agent.Core
open Expecto

let rec private ancestors (directory: DirectoryInfo | null) : DirectoryInfo list =
    match directory with
    | null -> []
    | directory -> directory :: ancestors directory.Parent

/// The repository's root: the nearest directory above the test program that holds tests/fixtures. A program that was
/// built outside the repository looks above its own source.
let root: string =
    ancestors (DirectoryInfo AppContext.BaseDirectory)
    @ ancestors (DirectoryInfo __SOURCE_DIRECTORY__)
    |> List.tryFind (fun directory -> Directory.Exists(Path.Combine(directory.FullName, "tests", "fixtures")))
    |> function
        | Some directory -> directory.FullName
        | None -> failwith $"no tests/fixtures above {AppContext.BaseDirectory}"

/// The full path of a fixture such as `lxc/proc/meminfo`.
let pathOf (name: string) : string =
    Path.Combine(root, "tests", "fixtures", name)

/// Its bytes.
let bytes (name: string) : byte[] = File.ReadAllBytes(pathOf name)

/// Its text.
let text (name: string) : string = Encoding.UTF8.GetString(bytes name)

/// What another tool printed: its lines, each split at blanks, empty lines left out.
let words (name: string) : string[][] =
    (text name).Split '\n'
    |> Array.map (fun line -> line.Split([| ' '; '\t' |], StringSplitOptions.RemoveEmptyEntries))
    |> Array.filter (fun line -> line.Length > 0)

/// A text as the kernel would write it.
let utf8 (text: string) : byte[] = Encoding.UTF8.GetBytes text

/// A text with one byte for each character, so that `\u00ff` is the byte 255, which is not UTF-8.
let latin1 (text: string) : byte[] = Encoding.Latin1.GetBytes text

/// A file of /sys with this content.
let sysText (path: string) (content: string) : SysText =
    {
        Path = path
        Content = Ok(ReadOnlyMemory(utf8 content))
    }

/// A file of /sys that cannot be read.
let sysFailure (path: string) (error: SourceError) : SysText = { Path = path; Content = Error error }

/// Every file under a fixture's directory whose path below it ends as told, sorted, with paths that start at /sys.
let sysFiles (machine: string) (ending: string) : SysText[] =
    let top = pathOf machine

    Directory.GetFiles(top, "*", SearchOption.AllDirectories)
    |> Array.filter (fun path -> path.EndsWith(ending, StringComparison.Ordinal))
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
    |> Array.map (fun path ->
        {
            Path = path.Substring top.Length
            Content = Ok(ReadOnlyMemory(File.ReadAllBytes path))
        })

/// Where an error says the text goes wrong: source, line, field and raw text.
let located (result: Result<'a, ParseError>) : string * int * string * string =
    match result with
    | Error error -> error.Source, error.Line, error.Field, error.Raw
    | Ok value -> failtest $"expected a located error, got {value}"

/// The value of a result that has to be one.
let want (result: Result<'a, ParseError>) : 'a =
    match result with
    | Ok value -> value
    | Error error -> failtest (string error)
