namespace Agent.Sender

open System
open Agent.Core
open Agent.Outbound

/// Something to log that may repeat, such as a failure.
[<NoComparison>]
type Remark =
    {
        /// Its severity.
        Level: LogLevel
        /// What happens. Up to its first colon it is the subject: the delivery, a source.
        Message: string
        /// What may differ from one time to the next, such as a waiting time; printed directly after the message.
        Figures: string
        /// Remarks with equal keys are the same remark.
        Key: string
    }

/// A line to print.
[<NoComparison>]
type LogLine =
    {
        /// Its severity.
        Level: LogLevel
        /// The whole line, without its end.
        Text: string
    }

/// Which remarks are being repeated. Holds those of the last minute, in the order in which they first came.
type Repetitions = private { Held: HeldRemark list }

/// One remark that was printed, and how often it has come since.
and private HeldRemark =
    {
        Newest: Remark
        PrintedAt: TimeSpan
        Since: int
        /// It was printed once more before its minute was over.
        Early: bool
    }

/// Prints a remark at once when it is new, then once a minute with the number of repetitions. In between, the count is
/// printed when the subject changes, though once a minute at most, so that what comes and goes is not printed each time.
[<RequireQualifiedAccess>]
module Repetition =
    /// From one line about a remark to the next.
    let Period = TimeSpan.FromMinutes 1.0

    /// A remark that says the same only when its text is the same.
    [<CompiledName "Exactly">]
    let exactly (level: LogLevel) (message: string) : Remark =
        {
            Level = level
            Message = message
            Figures = ""
            Key = message
        }

    /// A remark that says the same whatever numbers it names, in its message and behind it.
    [<CompiledName "WithFigures">]
    let withFigures (level: LogLevel) (message: string) (behind: string) : Remark =
        {
            Level = level
            Message = message
            Figures = behind
            Key = Gist.ofMessage message
        }

    /// Nothing was said yet.
    [<CompiledName "None">]
    let none: Repetitions = { Held = [] }

    let private subjectOf (remark: Remark) =
        match remark.Message.IndexOf ':' with
        | -1 -> remark.Message
        | colon -> remark.Message.Substring(0, colon)

    let rec private anyOf (predicate: HeldRemark -> bool) (held: HeldRemark list) : bool =
        match held with
        | [] -> false
        | first :: rest -> predicate first || anyOf predicate rest

    /// True when the minute of a remark is over at `now`. Without that `due` changes nothing.
    [<CompiledName "IsDue">]
    let isDue (now: TimeSpan) (repetitions: Repetitions) : bool =
        // F# compares two TimeSpans as any two values, in boxes; of ticks it makes one instruction.
        anyOf (fun held -> (now - held.PrintedAt).Ticks >= Period.Ticks) repetitions.Held

    /// True when there is a remark about this subject. Without one `over` does what `due` does.
    [<CompiledName "Concern">]
    let concern (subject: string) (repetitions: Repetitions) : bool =
        anyOf (fun held -> held.Newest.Message.StartsWith(subject, StringComparison.Ordinal)) repetitions.Held

    let private during (span: TimeSpan) =
        let minutes = Math.Round span.TotalMinutes

        if span < Period then
            $"the last {max 1.0 (Math.Round span.TotalSeconds)} s"
        elif minutes <= 1.0 then
            "the last minute"
        else
            $"the last {minutes} minutes"

    let private counted (now: TimeSpan) (held: HeldRemark) (text: string) : LogLine =
        let times = if held.Since = 1 then "once" else $"{held.Since} times"

        {
            Level = held.Newest.Level
            Text = $"{text} ({times} in {during (now - held.PrintedAt)})"
        }

    /// The ones that are not `isOver` stay as they are, the others are printed if they came again.
    let private settle (isOver: HeldRemark -> bool) (line: HeldRemark -> LogLine) (next: HeldRemark -> HeldRemark voption) repetitions =
        let lines =
            repetitions.Held
            |> List.filter (fun held -> held.Since > 0 && isOver held)
            |> List.map line
            |> Array.ofList

        let held =
            repetitions.Held
            |> List.choose (fun held ->
                if isOver held then
                    ValueOption.toOption (next held)
                else
                    Some held)

        struct ({ Held = held }, lines)

    /// The lines whose minute is over at `now`. Remarks that did not come again in theirs are forgotten.
    [<CompiledName "Due">]
    let due (now: TimeSpan) (repetitions: Repetitions) : struct (Repetitions * LogLine[]) =
        settle
            (fun held -> now - held.PrintedAt >= Period)
            (fun held -> counted now held (held.Newest.Message + held.Newest.Figures))
            (fun held ->
                if held.Since = 0 then
                    ValueNone
                else
                    ValueSome
                        { held with
                            PrintedAt = now
                            Since = 0
                            Early = false
                        })
            repetitions

    /// The lines to print because something changed about a subject: what was repeated is over, and the waiting times and
    /// numbers that went with it are not of now.
    let private changed (now: TimeSpan) (isAffected: Remark -> bool) (repetitions: Repetitions) =
        settle
            (fun held -> held.Since > 0 && not held.Early && isAffected held.Newest)
            (fun held -> counted now held held.Newest.Message)
            (fun held ->
                ValueSome
                    { held with
                        PrintedAt = now
                        Since = 0
                        Early = true
                    })
            repetitions

    /// The lines to print because all is well again with a subject, such as the delivery.
    [<CompiledName "Over">]
    let over (now: TimeSpan) (subject: string) (repetitions: Repetitions) : struct (Repetitions * LogLine[]) =
        let struct (repetitions, dueLines) = due now repetitions

        let struct (repetitions, lines) = changed now (fun remark -> subjectOf remark = subject) repetitions

        struct (repetitions, Array.append dueLines lines)

    /// The lines to print because of a remark at `now`: the remark itself if it is new.
    [<CompiledName "Observe">]
    let observe (now: TimeSpan) (remark: Remark) (repetitions: Repetitions) : struct (Repetitions * LogLine[]) =
        let says (held: HeldRemark) =
            held.Newest.Key = remark.Key && held.Newest.Level = remark.Level

        let struct (repetitions, dueLines) = due now repetitions

        if repetitions.Held |> List.exists says then
            let again held =
                if says held then
                    { held with
                        Newest = remark
                        Since = held.Since + 1
                    }
                else
                    held

            struct ({
                        Held = List.map again repetitions.Held
                    },
                    dueLines)
        else
            let subject = subjectOf remark

            let struct (repetitions, lines) = changed now (fun other -> subjectOf other = subject) repetitions

            let held =
                {
                    Newest = remark
                    PrintedAt = now
                    Since = 0
                    Early = false
                }

            let line =
                {
                    Level = remark.Level
                    Text = remark.Message + remark.Figures
                }

            struct ({ Held = repetitions.Held @ [ held ] }, Array.concat [ dueLines; lines; [| line |] ])

    /// The lines to print before the end.
    [<CompiledName "Finish">]
    let finish (now: TimeSpan) (repetitions: Repetitions) : LogLine[] =
        repetitions.Held
        |> List.filter (fun held -> held.Since > 0)
        |> List.map (fun held -> counted now held held.Newest.Message)
        |> Array.ofList
