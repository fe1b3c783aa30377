/// `/sys/devices/system/cpu/cpu*/topology/core_cpus_list`: which logical CPUs share a core.
/// See Documentation/admin-guide/cputopology.rst. Before kernel 5.3 the file was `thread_siblings_list`.
[<RequireQualifiedAccess>]
module Agent.Core.Sys.Topology

open System
open Agent.Core

let private isCpuList (text: string) =
    text.Length > 0
    && text |> Seq.forall (fun c -> Char.IsAsciiDigit c || c = ',' || c = '-')
    && Char.IsAsciiDigit text[0]

let private siblingsOf (file: SysText) : Result<string, SourceError> =
    match SysFile.line file with
    | Ok text when not (isCpuList text) ->
        Error(
            SourceError.Garbled
                {
                    Source = file.Path
                    Line = 1
                    Field = "value"
                    Raw = Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))
                    Expected = "a list of CPUs such as 0-1,4"
                }
        )
    | result -> result

/// How many cores the CPUs belong to: the number of different lists. None when a list is missing or garbled, because a
/// count over some of the CPUs would be too low.
[<CompiledName "PhysicalCores">]
let physicalCores (siblings: SysText[]) : int voption =
    let lists = siblings |> Array.choose (fun file -> siblingsOf file |> Result.toOption)

    if lists.Length = 0 || lists.Length < siblings.Length then
        ValueNone
    else
        ValueSome (Array.distinct lists).Length

/// What is wrong with the first file that was read and is no list of CPUs; empty for none.
[<CompiledName "Faults">]
let faults (siblings: SysText[]) : SourceError[] = SysFile.garbled siblingsOf siblings
