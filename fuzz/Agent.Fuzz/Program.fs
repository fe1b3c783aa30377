/// The program that afl-fuzz runs: `list` names the targets, `seeds <target> <fixtures> <directory>` writes what one starts
/// from, `run <target>` reads inputs for as long as afl-fuzz sends them, `try <target> <file>` reads one.
module Agent.Fuzz.Program

open System
open System.IO
open System.Runtime.InteropServices
open Agent.Fuzz.Targets
open Microsoft.FSharp.NativeInterop
open SharpFuzz
open SharpFuzz.Common

#nowarn 9 // The map that branches are counted in is a pointer.

[<Struct; StructLayout(LayoutKind.Sequential)>]
type private TimeSpec =
    val mutable Seconds: nativeint
    val mutable Nanoseconds: nativeint

/// clock_gettime(2).
[<DllImport("libc")>]
extern int private clock_gettime(int clock, TimeSpec& time)

/// CLOCK_THREAD_CPUTIME_ID: what other programs do meanwhile does not count.
let private cpuTime () : TimeSpan =
    let mutable time = TimeSpec()
    clock_gettime (3, &time) |> ignore
    TimeSpan.FromSeconds(float time.Seconds + float time.Nanoseconds / 1e9)

/// A run takes this long at most.
let private longestRun = TimeSpan.FromSeconds 1.0

/// The first runs are compiled while they run, and are not timed.
let private within (firstRuns: int) (target: Target) : byte[] -> unit =
    let mutable runs = 0

    fun input ->
        let start = cpuTime ()
        target.Run input
        runs <- runs + 1

        if runs > firstRuns && cpuTime () - start > longestRun then
            failwith $"a run of {target.Name} took more than {longestRun.TotalSeconds} s"

let private write (directory: string) (seeds: (string * byte[]) list) : unit =
    for index, (_, input) in List.indexed seeds do
        File.WriteAllBytes(Path.Combine(directory, $"{index}"), input)

let private named (name: string) : Target =
    match all |> List.tryFind (fun target -> target.Name = name) with
    | Some target -> target
    | None -> failwith $"there is no target '{name}'"

[<EntryPoint>]
let main arguments =
    match arguments with
    | [| "list" |] ->
        for target in all do
            printfn $"%s{target.Name}"

        0
    | [| "seeds"; name; fixtures; directory |] ->
        write directory (seeds fixtures (named name) |> List.distinctBy snd)
        0
    | [| "try"; name; file |] ->
        let input = File.ReadAllBytes file
        let run = within 1 (named name)
        run input
        run input
        0
    | [| "run"; name |] ->
        // Instrumented code writes to it from its first statement on; Fuzzer.Run puts afl-fuzz's own in its place.
        Trace.SharedMem <- NativeMemory.AllocZeroed(65536un) |> NativePtr.ofVoidPtr
        let run = within 50 (named name)

        Fuzzer.Run(fun (stream: Stream) ->
            use copy = new MemoryStream()
            stream.CopyTo copy

            // The first input is sometimes read before afl-fuzz has written it, and afl-fuzz gives up when its first run leaves
            // no trace, as the shortest targets do with nothing to read.
            if copy.Length = 0L then
                NativePtr.write Trace.SharedMem 1uy

            run (copy.ToArray()))

        0
    | _ ->
        eprintfn "Agent.Fuzz list | seeds <target> <fixtures> <directory> | run <target> | try <target> <file>"
        2
