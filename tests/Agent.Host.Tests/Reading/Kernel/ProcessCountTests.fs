/// Counting processes by the link count of /proc, and by listing it where the two disagree.
module Agent.Host.Tests.ProcessCountTests

open System
open System.IO
open Agent.Host.Reading
open Agent.TestSupport
open Expecto

/// A directory that stands for /proc, the link count that it claims, and the time.
type private Machine() =
    let directory = Directory.CreateTempSubdirectory "agent-tests-"

    member _.Path = directory.FullName

    member val Links: Nullable<int64> = Nullable() with get, set
    member val Now = TimeSpan.Zero with get, set

    /// What happens while the links are asked for.
    member val Meanwhile: unit -> unit = ignore with get, set

    member machine.Start(pid: int) : unit =
        directory.CreateSubdirectory(string pid) |> ignore
        machine.Links <- Nullable(machine.Links.GetValueOrDefault() + 1L)

    /// Directories and links of /proc that are no processes.
    member machine.HasBesides(directories: string list, links: string list) : unit =
        for name in directories do
            directory.CreateSubdirectory name |> ignore

        for name in links do
            File.CreateSymbolicLink(Path.Combine(directory.FullName, name), "1") |> ignore

    member machine.CountOf(isHidden: bool) : ProcessCount =
        let links () =
            let answer = machine.Links
            machine.Meanwhile()
            answer

        ProcessCount(directory.FullName, Func<_>(links), Func<_>(fun () -> machine.Now), isHidden)

    member machine.Count: ProcessCount = machine.CountOf false

    interface IDisposable with
        member _.Dispose() = directory.Delete true

let private minute = TimeSpan.FromMinutes 1.0

[<Tests>]
let tests =
    testList
        "Host.ProcessCount"
        [
            testCase "where processes of others are hidden, the links less the other directories of /proc tell"
            <| fun () ->
                use machine = new Machine()
                machine.HasBesides([ "sys"; "fs"; "irq" ], [ "net"; "self" ])
                machine.Start 77
                // A directory has two links, one more for each directory in it; 41 processes are there and one is shown.
                machine.Links <- Nullable(2L + 3L + 41L)
                Expect.equal (machine.CountOf(true).Read()) (Ok 41) "all of them"

            testCase "where they are hidden and the links tell nothing, the number is unknown and the reason told"
            <| fun () ->
                use machine = new Machine()
                machine.Start 77

                for links in [ Nullable(); Nullable 2L ] do
                    machine.Links <- links

                    match machine.CountOf(true).Read() with
                    | Ok count -> failtest $"{count} processes"
                    | Error error -> Expect.stringContains (string error) "hidepid" "the reason"

            testCase "between two listings a minute apart the links tell"
            <| fun () ->
                use machine = new Machine()
                machine.Links <- Nullable 9L

                for pid in [ 1; 2; 30 ] do
                    machine.Start pid

                let count = machine.Count
                Expect.equal (count.Read()) (Ok 3) "listed"
                // Only the links know of these.
                machine.Links <- Nullable 17L
                Expect.equal (count.Read()) (Ok 8) "17 links, 9 of which are no processes"
                machine.Links <- Nullable 12L
                machine.Now <- minute
                Expect.equal (count.Read()) (Ok 3) "listed again"
                machine.Links <- Nullable 13L
                Expect.equal (count.Read()) (Ok 4) "the two agreed, so the links tell again"

            testCase "a machine where links and listing disagree is listed from then on"
            <| fun () ->
                use machine = new Machine()
                machine.Start 1
                let count = machine.Count
                Expect.equal (count.Read()) (Ok 1) "listed"
                // Processes outside, which this namespace counts and does not show.
                machine.Links <- Nullable 50L
                machine.Now <- minute
                Expect.equal (count.Read()) (Ok 1) "listed"
                machine.Links <- Nullable 60L
                Expect.equal (count.Read()) (Ok 1) "and not 11"
                machine.Now <- minute * 5.0
                machine.Links <- Nullable 70L
                Expect.equal (count.Read()) (Ok 1) "for good"

            testCase "a process that starts during the listing is no disagreement"
            <| fun () ->
                use machine = new Machine()
                machine.Start 1
                let count = machine.Count
                Expect.equal (count.Read()) (Ok 1) "listed"
                machine.Now <- minute

                machine.Meanwhile <-
                    fun () ->
                        machine.Meanwhile <- ignore
                        machine.Start 2

                Expect.equal (count.Read()) (Ok 2) "listed while it started"
                machine.Links <- Nullable 2L
                Expect.equal (count.Read()) (Ok 2) "checked with the next sample"
                machine.Links <- Nullable 5L
                Expect.equal (count.Read()) (Ok 5) "and in agreement"

            testCase "where links say nothing every count is a listing"
            <| fun () ->
                use machine = new Machine()
                let count = machine.Count

                for pid in 1..3 do
                    machine.Start pid
                    machine.Links <- Nullable()
                    Expect.equal (count.Read()) (Ok pid) "listed"

            testCase "a directory that is not there is an absent source"
            <| fun () ->
                let count = ProcessCount.Of("/nowhere", Func<_>(fun () -> TimeSpan.Zero))
                Expect.equal (count.Read()) (Error(Agent.Core.SourceError.Absent "/nowhere")) "absent"

            testCase "a directory that only looks like /proc has the processes that it lists, process 1 or not"
            <| fun () ->
                use machine = new Machine()

                for pid in [ 77; 1 ] do
                    machine.Start pid
                    Expect.equal (LinkCount.CountsProcesses machine.Path) Processes.Uncounted $"with {pid}"

                Expect.equal ((ProcessCount.Of(machine.Path, Func<_>(fun () -> TimeSpan.Zero))).Read()) (Ok 2) "listed"

            testCase "a /proc under another name is one of this machine, with the same links"
            <| fun () ->
                // The kernel's own /proc, by a way that is not called /proc.
                let other = $"/proc/{Environment.ProcessId}/root/proc"
                Expect.isTrue (KernelFileSystem.IsProc other) "it is one"
                Expect.equal (LinkCount.CountsProcesses other) (LinkCount.CountsProcesses "/proc") "what is known of it"
                Expect.isTrue (LinkCount.Of(other).HasValue) "links"

            testCase "what is no /proc is not taken for one"
            <| fun () ->
                use machine = new Machine()

                for path in [ machine.Path; "/sys"; "/"; "/nowhere" ] do
                    Expect.isFalse (KernelFileSystem.IsProc path) path

            testCase "on this machine the links count what a listing shows"
            <| fun () ->
                if LinkCount.CountsProcesses "/proc" <> Processes.Listed then
                    Skip.always "this machine's /proc is that of a namespace of process ids"

                let listed () =
                    Directory.GetDirectories "/proc"
                    |> Array.filter (fun path -> Char.IsAsciiDigit path["/proc/".Length])
                    |> Array.length

                let count = ProcessCount.Of("/proc", Func<_>(fun () -> TimeSpan.Zero))
                count.Read() |> ignore

                // Others start and end processes all the time: one moment of quiet is enough.
                let agrees _ =
                    let before = listed ()
                    let counted = count.Read()
                    let after = listed ()
                    before = after && counted = Ok before

                Expect.isTrue (Seq.initInfinite id |> Seq.truncate 2000 |> Seq.exists agrees) "never the same number"
        ]
