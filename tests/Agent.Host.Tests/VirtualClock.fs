/// Time that tests move by hand, for the code that runs on an AgentClock.
module Agent.Host.Tests.VirtualClock

open System
open System.Collections.Generic
open System.Threading
open Agent.Host
open Agent.Host.Sampling
open Agent.Shell
open Expecto

/// Noon of a day; where every virtual clock begins.
let noon = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

/// One of the threads that share a virtual clock.
type private Player() =
    /// Until when it waits; MaxValue for as long as it takes.
    member val Deadline = TimeSpan.Zero with get, set
    /// How often in a row it waited for that same instant.
    member val Quiet = 0 with get, set

/// A clock that stands still while anybody works, and jumps to the next instant that somebody waits for once all wait. Its
/// threads take turns, so that every run is the same run.
type internal VirtualClock() =
    inherit AgentClock(1)

    let turn = obj ()
    let players = Dictionary<int, Player>()
    let order = ResizeArray<Player>()
    let events = PriorityQueue<unit -> unit, struct (TimeSpan * int)>()
    let mutable now = TimeSpan.Zero
    let mutable current = 0
    let mutable failure: exn option = None

    let pass () =
        if order.Count > 0 then
            current <- (current + 1) % order.Count

        Monitor.PulseAll turn

    let awaitTurn (player: Player) =
        while failure.IsNone && not (obj.ReferenceEquals(order[current], player)) do
            Monitor.Wait turn |> ignore

        match failure with
        | Some error -> raise (InvalidOperationException("the simulation failed", error))
        | None -> ()

    /// Runs the events until then, and sets the clock.
    let advance (target: TimeSpan) =
        let mutable instant = target

        match events.TryPeek() with
        | true, event, struct (due, _) when due <= target ->
            events.Dequeue() |> ignore
            instant <- due
            now <- max now due
            event ()
        | _ -> ()

        if instant = TimeSpan.MaxValue then
            failure <- Some(InvalidOperationException "everybody waits for ever")
        else
            now <- max now instant

        for player in order do
            player.Quiet <- 0

    /// Lets the others work until the instant, or until somebody may have work for this thread.
    let yieldUntil (deadline: TimeSpan) =
        lock turn (fun () ->
            let player = players[Environment.CurrentManagedThreadId]
            player.Quiet <- (if player.Deadline = deadline then player.Quiet + 1 else 0)
            player.Deadline <- deadline

            // Work that a thread gives to another shows when that one has had its turn; two rounds are enough.
            if order |> Seq.forall (fun other -> other.Quiet >= 2) then
                advance (order |> Seq.map _.Deadline |> Seq.min)

            pass ()
            awaitTurn player)

    override _.Elapsed = now

    override _.GetTimestamp() = now.Ticks * 100L

    override _.GetUtcNow() = noon + now

    override _.Wait(gate, duration) =
        let deadline =
            if duration = Timeout.InfiniteTimeSpan then
                TimeSpan.MaxValue
            else
                now + duration

        Monitor.Exit gate

        try
            yieldUntil deadline
        finally
            Monitor.Enter gate

    /// Work of that length on the calling thread; the other threads go on meanwhile.
    member _.Work(duration: TimeSpan) : unit =
        let deadline = now + duration

        while now < deadline do
            yieldUntil deadline

    /// Has this done at that instant.
    member _.At(instant: TimeSpan, action: unit -> unit) : unit =
        events.Enqueue(action, struct (instant, events.Count))

    /// Runs the bodies, each on a thread of its own, until all have ended.
    member _.Run(bodies: (unit -> unit) list) : unit =
        let threads =
            bodies
            |> List.map (fun body ->
                let player = Player()
                order.Add player

                Thread(fun () ->
                    try
                        try
                            lock turn (fun () ->
                                players[Environment.CurrentManagedThreadId] <- player
                                awaitTurn player)

                            body ()
                        with error ->
                            lock turn (fun () ->
                                failure <- failure |> Option.orElse (Some error)
                                Monitor.PulseAll turn)
                    finally
                        lock turn (fun () ->
                            let index = order.IndexOf player
                            order.RemoveAt index
                            current <- (if order.Count = 0 then 0 else index % order.Count)

                            // Whoever is left may have been given work.
                            for other in order do
                                other.Quiet <- 0

                            Monitor.PulseAll turn)))

        for thread in threads do
            thread.IsBackground <- true
            thread.Start()

        for thread in threads do
            if not (thread.Join(TimeSpan.FromSeconds 60.0)) then
                failtest "the simulation does not end"

        match failure with
        | Some error -> failtest $"the simulation failed: {error}"
        | None -> ()

/// A clock that moves only when it is told to, for threads that the test does not start. Those look at it every few
/// milliseconds.
type internal ManualClock() =
    inherit AgentClock(1)

    let mutable ticks = 0L
    let mutable waits = 0

    override _.Elapsed = TimeSpan(Volatile.Read &ticks)

    override this.GetTimestamp() = this.Elapsed.Ticks * 100L

    override this.GetUtcNow() = noon + this.Elapsed

    override _.Wait(gate, duration) =
        if duration <> Timeout.InfiniteTimeSpan then
            Interlocked.Increment &waits |> ignore

        Monitor.Wait(gate, 2) |> ignore

    /// How often a thread has waited for this clock to move on.
    member _.Waits: int = Volatile.Read &waits

    /// Moves it on.
    member _.Advance(duration: TimeSpan) : unit =
        Interlocked.Add(&ticks, duration.Ticks) |> ignore
