namespace Agent.Sender

open System

/// What to say of a fault now.
[<RequireQualifiedAccess; Struct>]
type FaultNews =
    /// Nothing that was not said already.
    | None
    /// It is there.
    | Lost
    /// It is there, and came so many times since it was last said.
    | LostAgain of times: int
    /// It is over.
    | Over
    /// It is over, and came so many times since it was last said.
    | OverAgain of returns: int

/// One fault that may come and go: what it is now, and what was said of it.
[<NoComparison>]
type Recurrence =
    private
        {
            /// How it fails; empty while it does not.
            Kind: string
            /// Since when it is so.
            Since: TimeSpan
            /// The kinds that were said.
            ToldKinds: string list
            /// The last line said that it fails.
            ToldBroken: bool
            /// When that was.
            ToldAt: TimeSpan
            /// How often it came since then without a line.
            Returns: int
            /// It came back before it was forgotten.
            IsFolded: bool
            /// That it lasts was said once before the period was over.
            ToldLasting: bool
        }

/// A fault is said when it begins and when it ends. One that returns within ten minutes is the same fault: from then on there is
/// one line in ten minutes with the number of times, and one more if it stays for a minute. Ten minutes without it end that.
[<RequireQualifiedAccess>]
module Recurrence =
    /// So long after its end a fault is the same when it comes back, and so long lies between two lines about it.
    let Period = TimeSpan.FromMinutes 10.0

    /// A fault that came back and stays for so long is said to be there.
    let private lasting = TimeSpan.FromMinutes 1.0

    /// More kinds of one fault than this are not told apart.
    [<Literal>]
    let private MostKinds = 8

    /// Nothing has failed yet.
    [<CompiledName "None">]
    let none: Recurrence =
        {
            Kind = ""
            Since = TimeSpan.Zero
            ToldKinds = []
            ToldBroken = false
            ToldAt = TimeSpan.Zero
            Returns = 0
            IsFolded = false
            ToldLasting = false
        }

    /// True while there is nothing to remember: neither a fault nor one that may come back.
    [<CompiledName "IsForgotten">]
    let isForgotten (fault: Recurrence) : bool =
        fault.Kind = "" && fault.ToldKinds.IsEmpty

    let private said (now: TimeSpan) (fault: Recurrence) : Recurrence =
        { fault with
            ToldBroken = fault.Kind <> ""
            ToldAt = now
            Returns = 0
        }

    // What time alone makes worth a line.
    let private unchanged (now: TimeSpan) (fault: Recurrence) : struct (Recurrence * FaultNews) =
        let isDue = (now - fault.ToldAt).Ticks >= Period.Ticks

        if fault.Kind <> "" then
            let isLasting =
                not fault.ToldBroken
                && not fault.ToldLasting
                && (now - fault.Since).Ticks >= lasting.Ticks

            if fault.Returns > 0 && (isDue || isLasting) then
                struct ({ said now fault with
                            ToldLasting = fault.ToldLasting || isLasting
                        },
                        FaultNews.LostAgain fault.Returns)
            else
                struct (fault, FaultNews.None)
        elif fault.Returns > 0 && isDue then
            struct (said now fault, FaultNews.OverAgain fault.Returns)
        elif (now - fault.Since).Ticks >= Period.Ticks && fault.Returns = 0 then
            struct (none, (if fault.ToldBroken then FaultNews.Over else FaultNews.None))
        else
            struct (fault, FaultNews.None)

    let private changed (now: TimeSpan) (kind: string) (fault: Recurrence) : struct (Recurrence * FaultNews) =
        let next = { fault with Kind = kind; Since = now }

        if kind = "" then
            if fault.IsFolded then
                unchanged now next
            else
                struct (said now next, FaultNews.Over)
        elif not (List.contains kind fault.ToldKinds) && fault.ToldKinds.Length < MostKinds then
            struct (said
                        now
                        { next with
                            ToldKinds = kind :: fault.ToldKinds
                        },
                    FaultNews.Lost)
        else
            unchanged
                now
                { next with
                    Returns = fault.Returns + 1
                    IsFolded = true
                }

    /// What is to be said at `now`, when the fault is of this kind; empty for none. To be asked at every reading.
    [<CompiledName "Observe">]
    let observe (now: TimeSpan) (kind: string) (fault: Recurrence) : struct (Recurrence * FaultNews) =
        if isForgotten fault && kind = "" then
            struct (fault, FaultNews.None)
        elif String.Equals(kind, fault.Kind, StringComparison.Ordinal) then
            unchanged now fault
        else
            changed now kind fault
