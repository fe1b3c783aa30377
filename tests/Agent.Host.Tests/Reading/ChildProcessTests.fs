module Agent.Host.Tests.ChildProcessTests

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading
open Agent.Core
open Agent.Sender
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport.ProgramProcess
open Expecto

let private seconds (value: float) = TimeSpan.FromSeconds value

/// A directory at the head of this process's PATH, for programs with names that nothing else has.
let private directory =
    lazy
        (let directory = Directory.CreateTempSubdirectory("agent-tests-").FullName
         let path = Environment.GetEnvironmentVariable "PATH"
         Environment.SetEnvironmentVariable("PATH", $"{directory}:{path}")
         AppDomain.CurrentDomain.ProcessExit.Add(fun _ -> Directory.Delete(directory, true))
         directory)

/// Writes a shell script and returns its name.
let private program (script: string) : string =
    let name = $"agent-test-{Guid.NewGuid():N}"
    writeProgram directory.Value name script |> ignore
    name

let private run (limit: float) (script: string) (arguments: string list) =
    let name = program script
    name, ChildProcess(name, seconds limit, AgentClock()).Run arguments

let private printed (script: string) (arguments: string list) : int * string =
    match run 10.0 script arguments with
    | _, Ok output -> output.ExitCode, Encoding.UTF8.GetString output.Words
    | _, Error error -> failtest (string error)

/// True once a process has ended, be it a zombie.
let private hasEnded (pid: string) =
    try
        (File.ReadAllText $"/proc/{pid}/stat").Contains ") Z "
    with :? IOException ->
        true

let private soon (what: string) (condition: unit -> bool) =
    let watch = Stopwatch.StartNew()

    while not (condition ()) do
        if watch.Elapsed > seconds 5.0 then
            failtest $"not within 5 s: {what}"

        Thread.Sleep 5

let private setGroup (path: string) (group: string) =
    use change = Diagnostics.Process.Start("chgrp", [ group; path ])
    change.WaitForExit()
    Expect.equal change.ExitCode 0 "chgrp"

[<Tests>]
let tests =
    // They change the environment of this process.
    testSequenced
    <| testList
        "Host.ChildProcess"
        [
            testCase "exit code and standard output, with the arguments as they are"
            <| fun () -> Expect.equal (printed "printf '%s|' \"$@\"; echo no >&2; exit 3" [ "a b"; ""; "$x" ]) (3, "a b||$x|") "stdout"

            testCase "standard error where standard output is empty"
            <| fun () -> Expect.equal (printed "echo 'no device' >&2; exit 6" []) (6, "no device\n") "stderr"

            testCase "it reads nothing from this process, and its messages are in English"
            <| fun () -> Expect.equal (printed "cat; echo $LC_ALL" []) (0, "C\n") "stdin is at its end"

            testCase "it does not see the agent's secrets"
            <| fun () ->
                Environment.SetEnvironmentVariable("AI_DASHBOARD_TOKEN", "s3cr3t")
                Environment.SetEnvironmentVariable("AI_DASHBOARD_HOST", "http://h")

                try
                    let _, environment = printed "env" []
                    Expect.isFalse (environment.Contains "AI_DASHBOARD") "none of the variables"
                    Expect.isFalse (environment.Contains "s3cr3t") "no token"
                    Expect.isTrue (environment.Contains "PATH=") "but the rest"
                finally
                    Environment.SetEnvironmentVariable("AI_DASHBOARD_TOKEN", null)
                    Environment.SetEnvironmentVariable("AI_DASHBOARD_HOST", null)

            testCase "a program that is not there is absent"
            <| fun () ->
                let missing = ChildProcess("agent-test-missing", seconds 1.0, AgentClock())
                Expect.equal (missing.Run []) (Error(SourceError.Absent "agent-test-missing")) "absent"
                Expect.isNull (ChildStart.Find "agent-test-missing") "not found"
                Expect.equal (ChildStart.Find "sh" |> isNull) false "found"

            testCase "a program that cannot be run is unreadable"
            <| fun () ->
                let name = program "true"
                File.SetUnixFileMode(Path.Combine(directory.Value, name), UnixFileMode.UserRead)

                match ChildProcess(name, seconds 1.0, AgentClock()).Run [] with
                | Error(SourceError.Unreadable(path, _)) -> Expect.equal path name "named"
                | other -> failtest $"expected unreadable, got {other}"

            testCase "a program that hangs is killed at the limit, and can be started again"
            <| fun () ->
                let pids = Path.Combine(directory.Value, "hanging")
                let name = program $"echo $$ >> {pids}; exec sleep 60"
                let child = ChildProcess(name, seconds 0.4, AgentClock())

                for attempt in 1..2 do
                    let watch = Stopwatch.StartNew()

                    Expect.equal (child.Run []) (Error(SourceError.Unreadable(name, "not finished within 0.4 s; it was killed"))) "told"

                    Expect.isLessThan watch.Elapsed.TotalSeconds 1.5 "not waited for"
                    Expect.isGreaterThan watch.Elapsed.TotalSeconds 0.35 "for as long as it may take"
                    let started = File.ReadAllLines pids
                    Expect.equal started.Length attempt "started once more"
                    soon "its end" (fun () -> hasEnded (Array.last started))
                    // Its end must have been noticed as well.
                    Thread.Sleep 100

            testCase "a program that ignores polite signals is killed as well"
            <| fun () ->
                let pids = Path.Combine(directory.Value, "deaf")
                let name, result = run 0.4 $"trap '' TERM INT HUP; echo $$ > {pids}; while :; do sleep 0.05; done" []
                Expect.equal result (Error(SourceError.Unreadable(name, "not finished within 0.4 s; it was killed"))) "told"
                soon "its end" (fun () -> hasEnded ((File.ReadAllText pids).Trim()))

            testCase "a child that is left behind with the pipe does not hold anybody up"
            <| fun () ->
                let watch = Stopwatch.StartNew()
                let pids = Path.Combine(directory.Value, "orphan")
                let _, result = run 0.5 $"sleep 5 & echo $! > {pids}; echo done" []
                Expect.isLessThan watch.Elapsed.TotalSeconds 2.0 "not waited for"

                match result with
                | Ok output -> Expect.equal output.ExitCode 0 "either it is told"
                | Error(SourceError.Unreadable _) -> ()
                | Error other -> failtest $"unexpected {other}"

            testCase "output without end is cut off, in time and in memory"
            <| fun () ->
                let watch = Stopwatch.StartNew()
                let name, result = run 1.0 "exec yes" []
                Expect.isLessThan watch.Elapsed.TotalSeconds 3.0 "not waited for"
                Expect.equal result (Error(SourceError.Unreadable(name, "not finished within 1 s; it was killed"))) "told"

            testCase "a megabyte of output arrives whole"
            <| fun () ->
                let code, text = printed "head -c 1000000 /dev/zero | tr '\\0' x" []
                Expect.equal (code, text.Length) (0, 1000000) "all of it"

            testCase "nothing is left behind after many starts"
            <| fun () ->
                let child = ChildProcess(program "echo x", seconds 5.0, AgentClock())

                let handles () =
                    Directory.GetFiles("/proc/self/fd").Length

                for _ in 1..3 do
                    child.Run [] |> ignore

                let before = handles ()

                for _ in 1..20 do
                    child.Run [] |> ignore

                // Other tests open files meanwhile; twenty starts that leak would leave forty.
                Expect.isLessThan (handles () - before) 20 "open files"

            testCase "a program that others than root can change is known by itself, by a directory above it, and through links to either"
            <| fun () ->
                let directory = Directory.CreateTempSubdirectory "agent-tests-"

                try
                    let above = directory.CreateSubdirectory("open").FullName
                    let below = Directory.CreateDirectory(Path.Combine(above, "bin")).FullName
                    let path = Path.Combine(below, "tool")
                    let link = Path.Combine(directory.FullName, "link")
                    File.WriteAllText(path, "#!/bin/sh\n")
                    File.CreateSymbolicLink(link, path) |> ignore
                    let closed = UnixFileMode.UserRead ||| UnixFileMode.UserWrite ||| UnixFileMode.UserExecute
                    let opened = closed ||| UnixFileMode.OtherWrite

                    for place in [ directory.FullName; above; below; path ] do
                        File.SetUnixFileMode(place, closed)

                    // Where others own the directories above, or the tests' user is not root, that is what is found.
                    match ChildStart.Foreign path with
                    | null ->
                        for place in [ path; below; above ] do
                            File.SetUnixFileMode(place, opened)
                            Expect.equal (ChildStart.Foreign path) place "what others can write"
                            Expect.isNotNull (ChildStart.Foreign link) "by the link"
                            File.SetUnixFileMode(place, closed)

                        for place in [ path; below; above ] do
                            File.SetUnixFileMode(place, closed ||| UnixFileMode.GroupWrite)
                            Expect.isNull (ChildStart.Foreign path) "the group root"
                            setGroup place "65534"
                            Expect.equal (ChildStart.Foreign path) place "what another group can write"

                            if File.ReadLines "/etc/group" |> Seq.exists _.StartsWith("staff:") then
                                setGroup place "staff"
                                Expect.isNull (ChildStart.Foreign path) "staff, as /usr/local of Debian"

                            setGroup place "0"
                            File.SetUnixFileMode(place, closed)

                        // A directory of PATH may be a link, and lead to its place by way of another.
                        let other = directory.CreateSubdirectory("other").FullName
                        File.SetUnixFileMode(other, closed)
                        let ways = directory.CreateSubdirectory("ways").FullName
                        let relative = Path.Combine(ways, "relative")
                        Directory.CreateSymbolicLink(relative, "../open/bin") |> ignore
                        let middle = Path.Combine(other, "middle")
                        Directory.CreateSymbolicLink(middle, below) |> ignore
                        let chain = Path.Combine(ways, "chain")
                        Directory.CreateSymbolicLink(chain, middle) |> ignore
                        let circle = Path.Combine(ways, "circle")
                        Directory.CreateSymbolicLink(circle, circle) |> ignore
                        File.SetUnixFileMode(ways, closed)

                        for way in [ relative; chain; $"{ways}/../open/./bin" ] do
                            Expect.isNull (ChildStart.Foreign(Path.Combine(way, "tool"))) "nobody but root"

                        File.SetUnixFileMode(above, opened)

                        for way in [ relative; chain ] do
                            Expect.equal (ChildStart.Foreign(Path.Combine(way, "tool"))) above "above what the link leads to"

                        File.SetUnixFileMode(above, closed)
                        File.SetUnixFileMode(other, opened)
                        Expect.equal (ChildStart.Foreign(Path.Combine(chain, "tool"))) other "where the link in the middle lies"
                        Expect.isNull (ChildStart.Foreign(Path.Combine(relative, "tool"))) "another way"
                        File.SetUnixFileMode(other, closed)
                        Expect.equal (ChildStart.Foreign(Path.Combine(circle, "tool"))) circle "a circle"

                        File.SetUnixFileMode(below, opened ||| UnixFileMode.StickyBit)
                        Expect.isNull (ChildStart.Foreign path) "in a directory with the sticky bit nobody can replace it"
                    | before -> Expect.isTrue (path.StartsWith(before, StringComparison.Ordinal)) "the program or what it lies in"
                finally
                    directory.Delete true
        ]
