/// What the agent costs the machine that it watches: memory, garbage, threads.
module Agent.EndToEnd.Tests.CostTests

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Expecto

/// The number of a line such as `VmRSS:   13824 kB`.
let private kib (name: string) (line: string) : int =
    Int32.Parse(line.Substring(name.Length).Replace("kB", "").Trim(), CultureInfo.InvariantCulture)

let private memoryKib (name: string) (pid: int) : int =
    File.ReadAllLines $"/proc/{pid}/status"
    |> Array.find (fun line -> line.StartsWith(name, StringComparison.Ordinal))
    |> kib name

/// KiB that a process has in memory.
let private residentKib: int -> int = memoryKib "VmRSS:"

/// KiB of its own that a process has in memory. The pages of its executable come on top: how many the kernel brings in around each that is used
/// depends on what else the machine keeps in memory, and it takes them back when it needs them.
let private ownKib: int -> int = memoryKib "RssAnon:"

/// How often the thread of that name has waited for something; none when there is no such thread.
let private waitsOf (pid: int) (name: string) : int option =
    let field (prefix: string) (thread: string) =
        File.ReadAllLines(Path.Combine(thread, "status"))
        |> Array.find (fun line -> line.StartsWith(prefix, StringComparison.Ordinal))
        |> fun line -> line.Substring(prefix.Length).Trim()

    Directory.GetDirectories $"/proc/{pid}/task"
    |> Array.tryFind (fun thread -> field "Name:" thread = name)
    |> Option.map (fun thread -> Int32.Parse(field "voluntary_ctxt_switches:" thread, CultureInfo.InvariantCulture))

/// KiB of the executable's read-only pages that are not the file's any more, because the process has written to them.
let private writtenConstantsKib (pid: int) : int =
    let mapping = Regex $"^[0-9a-f]+-[0-9a-f]+ (.{{4}}) .*?([^/ ]*)$"
    let mutable isConstant = false
    let mutable sum = 0

    for line in File.ReadAllLines $"/proc/{pid}/smaps" do
        let start = mapping.Match line

        if start.Success then
            isConstant <-
                start.Groups[1].Value = "r--p"
                && binary.Value.EndsWith("/" + start.Groups[2].Value, StringComparison.Ordinal)
        elif isConstant && line.StartsWith("Private_Dirty:", StringComparison.Ordinal) then
            sum <- sum + kib "Private_Dirty:" line

    sum

/// The bars are those of the native executable.
let private ofNativeExecutable (test: unit -> unit) () =
    if File.Exists(binary.Value + ".dll") then
        Skip.always "it measures the native executable, which the target Publish makes (AGENT_BINARY)"

    test ()

/// A sample every 2.5 ms, which a busy machine still takes and posts in time.
let private fast = [ "AI_DASHBOARD_TEST_TIME_SCALE", "200" ]

/// Thousands of samples take seconds, and on a busy machine minutes.
let private manySamples = TimeSpan.FromMinutes 4.0

/// The figures of 10,000 samples without a pause.
let private backToBack () : string -> int64 =
    use agent =
        startWith [ "AI_DASHBOARD_TEST_BACK_TO_BACK", "10000" ] [ "--dry-run"; "--cpu-sample-interval=0" ]

    Expect.equal (agent.WaitForEnd manySamples, agent.Errors) (0, []) "it ran"
    let cost = JsonDocument.Parse(List.exactlyOne agent.Output)
    fun name -> cost.RootElement.GetProperty(name).GetInt64()

let tests =
    testSequenced
    <| testList
        "cost"
        [
            testCase "a sample leaves 16 KiB of garbage at most"
            <| fun () ->
                let number = backToBack ()
                Expect.equal (number "samples") 10000L "samples"
                // No sample is smaller than its own body.
                Expect.isGreaterThan (number "allocated_bytes" / 10000L) 1000L "a measurement"
                Expect.isLessThanOrEqual (number "allocated_bytes" / 10000L) 16384L "bytes for each sample"

            testCase "10,000 samples need no full collection"
            <| ofNativeExecutable (fun () -> Expect.equal (backToBack () "gen2") 0L "full collections")

            testCase "the measurement is for a dry run alone"
            <| fun () ->
                for value, words in [ "x", [ "--dry-run" ]; "5", targetOf "http://127.0.0.1:1" ] do
                    let code, _, errors = runWith [ "AI_DASHBOARD_TEST_BACK_TO_BACK", value ] words
                    Expect.equal code 2 value
                    Expect.exists errors _.Contains("AI_DASHBOARD_TEST_BACK_TO_BACK") value

            testCase "with a spool and HTTP it has 15 MiB in memory at most"
            <| ofNativeExecutable (fun () ->
                World.withDirectory (fun directory ->
                    use server = new IngestServer(stored)
                    use agent = start (targetOf server.Url @ [ "--interval=0.5"; "--quiet"; "--spool"; directory ])
                    eventually patience "ten samples" (fun () -> server.Requests.Length >= 10)
                    Expect.isLessThanOrEqual (residentKib agent.Id) (15 * 1024) "KiB"))

            testCase "nearly all methods that are to lie together are in the executable by that name"
            <| ofNativeExecutable (fun () ->
                // A name changes with its code, a closure's even with its line. With 8 % gone the agent had 1.3 MiB more in memory.
                let wanted = File.ReadAllLines(Path.Combine(Fixtures.root, "build/hot-methods.txt"))

                let there =
                    (Tools.succeed [] "nm" [ "--defined-only"; binary.Value + ".dbg" ]).Split '\n'
                    |> Seq.map (fun line -> line.Substring(line.LastIndexOf ' ' + 1))
                    |> HashSet

                Expect.isGreaterThan wanted.Length 1000 "a list"
                let gone = wanted |> Array.filter (there.Contains >> not)

                Expect.isLessThanOrEqual
                    (float gone.Length)
                    (0.05 * float wanted.Length)
                    $"make build/hot-methods.txt anew: bench/hot_methods.py; gone are %A{Array.truncate 5 gone}")

            testCase "what the runtime has written into its constants outlives the giving back of memory after the start"
            <| ofNativeExecutable (fun () ->
                use server = new IngestServer(stored)
                use agent = start (targetOf server.Url @ [ "--interval=2"; "--quiet" ])

                let after samples =
                    eventually patience $"{samples} samples" (fun () -> server.Requests.Length >= samples)
                    writtenConstantsKib agent.Id

                let early = after 1
                Expect.isGreaterThan early 0 "the value that guards the stacks, at least"
                Expect.isGreaterThanOrEqual (after 3) early "KiB")

            testCase "its memory does not grow with the samples that it has sent"
            <| ofNativeExecutable (fun () ->
                World.withDirectory (fun directory ->
                    use server = new IngestServer(stored)
                    use agent = startWith fast (targetOf server.Url @ [ "--interval=0.5"; "--quiet"; "--spool"; directory ])

                    // The least of a second: what waits for the next collection of garbage is not what is kept.
                    let after samples =
                        eventually manySamples $"{samples} samples" (fun () -> server.Requests.Length >= samples)

                        List.min
                            [
                                for _ in 1..10 do
                                    Threading.Thread.Sleep 100
                                    ownKib agent.Id
                            ]

                    let early = after 1000
                    Expect.isLessThanOrEqual (after 5000) (early + 512) $"KiB, from {early}"))

            testCase "an answer wakes the thread that posts, and not the class library's thread for sockets"
            <| fun () ->
                use server = new IngestServer(stored)
                use agent = start (targetOf server.Url @ [ "--interval=0.5"; "--quiet" ])

                let after requests =
                    eventually patience $"{requests} samples" (fun () -> server.Requests.Length >= requests)
                    waitsOf agent.Id ".NET Sockets", waitsOf agent.Id "ingest"

                let sockets, posting = after 3
                let socketsThen, postingThen = after 6
                Expect.isGreaterThan postingThen posting "a look at the threads"
                Expect.equal socketsThen sockets "woken"
        ]
