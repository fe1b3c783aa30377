module Agent.Host.Tests.MountProbesTests

open System
open System.Collections.Concurrent
open System.Threading
open Agent.Core
open Agent.Host
open Agent.Host.Reading
open Agent.Shell
open Expecto

/// Mounts that answer at once with the length of their name, but for those whose names start with /hang, which answer once
/// they are let go.
type private Mounts() =
    let letGo = new ManualResetEventSlim(false)
    let asked = ConcurrentQueue<string>()

    member _.Asked = asked.ToArray()
    member _.LetGo() = letGo.Set()

    member _.Ask(directory: string) : Result<int, SourceError> =
        asked.Enqueue directory

        if directory.StartsWith("/hang", StringComparison.Ordinal) then
            letGo.Wait()

        Ok directory.Length

    interface IDisposable with
        // Not disposed of: threads that were let go may still be at it.
        member _.Dispose() = letGo.Set()

/// A clock that advances when somebody waits by it, and a mount that answers when it has come to an instant.
type private OneAnswer(due: TimeSpan) =
    inherit AgentClock(1)

    let asked = new ManualResetEventSlim(false)
    let letGo = new ManualResetEventSlim(false)
    let mutable now = TimeSpan.Zero

    member _.Ask(directory: string) : Result<int, SourceError> =
        asked.Set()
        letGo.Wait()
        Ok directory.Length

    override _.Elapsed = now

    override _.Wait(gate, duration) =
        asked.Wait()

        if not letGo.IsSet && now + duration >= due then
            now <- due
            letGo.Set()
            // Until the answer has been taken down.
            Monitor.Wait gate |> ignore
        else
            now <- now + duration

// Twice as fast as time: still so slow that a busy machine does not make a mount hang that does not.
let private probesOf (mounts: Mounts) =
    MountProbes<int>(AgentClock 2, Func<_, _>(mounts.Ask))

let private valueOf (answer: Result<int, SourceError>) =
    match answer with
    | Ok value -> value
    | Error _ -> -1

let private reasonOf (answer: Result<int, SourceError>) =
    match answer with
    | Error(SourceError.Unreadable(path, reason)) -> path, reason
    | other -> failtest $"expected no answer, got %A{other}"

let private silence = "statvfs does not answer within 2 s; is its server gone?"

[<Tests>]
let tests =
    testList
        "Host.MountProbes"
        [
            testCase "mounts that answer are asked once each, in their order"
            <| fun () ->
                use mounts = new Mounts()
                let answers = (probesOf mounts).Ask [ "/a"; "/bc"; "/def" ]
                Expect.equal (Array.map valueOf answers) [| 2; 3; 4 |] "answers"
                Expect.equal mounts.Asked [| "/a"; "/bc"; "/def" |] "one thread, one after the other"

            testCase "nothing to ask is no answer"
            <| fun () ->
                use mounts = new Mounts()
                Expect.equal ((probesOf mounts).Ask []) [||] "none"

            testCase "a mount that hangs costs itself and says so, and is not asked again while it hangs"
            <| fun () ->
                use mounts = new Mounts()
                let probes = probesOf mounts

                for _ in 1..3 do
                    let answers = probes.Ask [ "/a"; "/hang"; "/bc" ]
                    Expect.equal (Array.map valueOf answers) [| 2; -1; 3 |] "the others"
                    Expect.equal (reasonOf answers[1]) ("/hang", silence) "said"

                Expect.equal (mounts.Asked |> Array.filter (fun name -> name = "/hang")) [| "/hang" |] "asked once"

                mounts.LetGo()
                // It has answered once its thread is through.
                let deadline = DateTime.UtcNow.AddSeconds 20.0

                while DateTime.UtcNow < deadline && valueOf (Array.head (probes.Ask [ "/hang" ])) < 0 do
                    Thread.Sleep 5

                Expect.equal (valueOf (Array.head (probes.Ask [ "/hang" ]))) 5 "asked anew"

            testCase "a mount has two seconds to answer"
            <| fun () ->
                let answerAfter (seconds: float) =
                    let clock = OneAnswer(TimeSpan.FromSeconds seconds)
                    Array.head (MountProbes<int>(clock, Func<_, _>(clock.Ask)).Ask [ "/a" ])

                Expect.equal (valueOf (answerAfter 2.0)) 2 "just in time"
                Expect.equal (reasonOf (answerAfter 2.05)) ("/a", silence) "too late"

            testCase "where no thread can be started the mounts are not asked, and it is said once; later they are"
            <| fun () ->
                use mounts = new Mounts()
                let mutable mayStart = false

                let start (run: Action) (stack: int) (name: string) =
                    if mayStart then
                        Threads.Start(run, stack, name) |> ignore
                    else
                        raise (ThreadLimitException(OutOfMemoryException()))

                let probes = MountProbes<int>(AgentClock 2, Func<_, _>(mounts.Ask), start = Action<_, _, _>(start))

                let answers = probes.Ask [ "/a"; "/bc" ]

                Expect.allEqual
                    (answers |> Array.map reasonOf)
                    ("file systems", ThreadLimitException(OutOfMemoryException()).Message)
                    "one reason for all"

                Expect.equal mounts.Asked [||] "none was asked"
                mayStart <- true
                Expect.equal (probes.Ask [ "/a"; "/bc" ] |> Array.map valueOf) [| 2; 3 |] "asked"

            testCase "a second thread that cannot be started leaves its mount to the first"
            <| fun () ->
                use mounts = new Mounts()
                let mutable started = 0

                let start (run: Action) (stack: int) (name: string) =
                    started <- started + 1

                    if started > 1 then
                        raise (ThreadLimitException(OutOfMemoryException()))

                    Threads.Start(run, stack, name) |> ignore

                let probes = MountProbes<int>(AgentClock 2, Func<_, _>(mounts.Ask), start = Action<_, _, _>(start))

                let answers = probes.Ask [ "/hang"; "/a" ]
                Expect.equal (reasonOf answers[0]) ("/hang", silence) "the one that hangs"
                Expect.equal (fst (reasonOf answers[1])) "file systems" "nobody is there for the other"

            testCase "seven that hang leave a thread for the others"
            <| fun () ->
                use mounts = new Mounts()
                let hanging = [ for i in 1..7 -> $"/hang{i}" ]
                let clock = AgentClock 2
                let answers = MountProbes<int>(clock, Func<_, _>(mounts.Ask)).Ask(hanging @ [ "/a" ])
                Expect.isLessThan clock.Elapsed (TimeSpan.FromSeconds 7.0) "about one limit, not seven"
                Expect.equal (valueOf (Array.last answers)) 2 "the last is asked"
                Expect.equal (reasonOf answers[6]) ("/hang7", silence) "the seventh"

            testCase "eight that hang are all the threads there are: the others are not asked, and say why"
            <| fun () ->
                use mounts = new Mounts()
                let hanging = [ for i in 1..8 -> $"/hang{i}" ]
                let answers = (probesOf mounts).Ask(hanging @ [ "/a" ])

                Expect.equal
                    (reasonOf (Array.last answers))
                    ("the other file systems", "not asked, because 8 mounts do not answer")
                    "the last"

                Expect.equal mounts.Asked.Length 8 "threads"
        ]
