namespace Agent.Receiver.Alerts

open System
open Agent.Core
open Agent.Receiver

/// What the threshold of a rule is compared with.
[<RequireQualifiedAccess>]
type RuleUnit =
    /// The rule has no threshold: what it is about is so, or is not.
    | Nothing
    /// How sure the verdict is, in per cent.
    | Sure
    /// What is used of something, in per cent.
    | Used
    /// Days that are left; the rule holds at the threshold and below.
    | DaysLeft

    /// Its name in answers.
    member unit.Name: string =
        match unit with
        | Nothing -> "none"
        | Sure -> "percent-sure"
        | Used -> "percent-used"
        | DaysLeft -> "days-left"

/// A rule as it is applied to one machine.
[<Struct>]
type Rule =
    {
        /// From here on it holds.
        Threshold: float
        /// From here on it no longer holds; between the two nothing changes.
        Clear: float
        /// It must hold for so long before the alert, in microseconds.
        For: int64
        /// It must be over for so long before the alert ends, in microseconds.
        ClearFor: int64
        /// How urgent its alerts are.
        Level: AlertLevel
        /// False for a rule that is turned off.
        IsEnabled: bool
    }

/// What somebody wants otherwise than it is by default.
type RuleChange =
    {
        /// From here on it holds.
        Threshold: float voption
        /// From here on it no longer holds.
        Clear: float voption
        /// In microseconds.
        For: int64 voption
        /// In microseconds.
        ClearFor: int64 voption
        /// How urgent its alerts are.
        Level: AlertLevel voption
        /// Whether it is applied.
        IsEnabled: bool voption
    }

    /// True where nothing is changed.
    member change.IsEmpty: bool =
        change.Threshold.IsNone
        && change.Clear.IsNone
        && change.For.IsNone
        && change.ClearFor.IsNone
        && change.Level.IsNone
        && change.IsEnabled.IsNone

/// A rule as it is built in.
type RuleRow =
    {
        /// `machine-silent`
        Name: string
        /// What it is about, for people: `A machine sends nothing`.
        Title: string
        /// What its threshold is compared with.
        Unit: RuleUnit
        /// So far from the threshold it clears, where nothing else is said.
        Margin: float
        /// As it is where nothing else is said.
        Default: Rule
    }

    /// True where low values are bad.
    member row.IsBelow: bool = row.Unit.IsDaysLeft

/// How a rule is set: the change for all machines, and those for some.
type RuleSetting =
    {
        /// For all machines.
        Change: RuleChange
        /// The first that fits a machine counts, and what it leaves open is that of all machines.
        Overrides: (struct (Target * RuleChange))[]
    }

/// The rules that there are.
[<RequireQualifiedAccess>]
module Rules =
    let private minutes (value: float) =
        int64 (value * float RowKey.MicrosecondsPerMinute)

    let private row name title unit' threshold margin forMinutes clearMinutes level isEnabled : RuleRow =
        {
            Name = name
            Title = title
            Unit = unit'
            Margin = margin
            Default =
                {
                    Threshold = threshold
                    Clear =
                        (if unit' = RuleUnit.DaysLeft then
                             threshold + margin
                         else
                             threshold - margin)
                    For = minutes forMinutes
                    ClearFor = minutes clearMinutes
                    Level = level
                    IsEnabled = isEnabled
                }
        }

    let private critical = AlertLevel.Critical
    let private warning = AlertLevel.Warning

    /// A machine is silent.
    [<Literal>]
    let MachineSilent = "machine-silent"

    /// A GPU is broken.
    [<Literal>]
    let GpuFault = "gpu-fault"

    /// An XID event after which the GPU or the machine needs a restart.
    [<Literal>]
    let XidHardware = "xid-hardware"

    /// An XID event that is a program's own.
    [<Literal>]
    let XidProgram = "xid-program"

    /// An XID event of which the catalogue says no more than to report it.
    [<Literal>]
    let XidOther = "xid-other"

    /// A job stands still.
    [<Literal>]
    let Hang = "hang"

    /// GPUs run slower than they could.
    [<Literal>]
    let Throttled = "throttled"

    /// GPUs are held and not used.
    [<Literal>]
    let HeldIdle = "held-idle"

    /// A file system of a machine fills up.
    [<Literal>]
    let DiskFull = "disk-full"

    /// The memory of a machine fills up.
    [<Literal>]
    let MemoryFull = "memory-full"

    /// The swap space of a machine fills up.
    [<Literal>]
    let SwapFull = "swap-full"

    /// The dashboard's certificate ends.
    [<Literal>]
    let CertificateEnds = "certificate-ends"

    /// The disk with the dashboard's database fills up.
    [<Literal>]
    let DashboardDiskFull = "dashboard-disk-full"

    /// The name of the rule for machines that are held back by something: `held-back-by-disk-read`.
    [<CompiledName "HeldBackBy">]
    let heldBackBy (label: VerdictLabel) : string = "held-back-by-" + label.Name

    let private heldBack =
        VerdictLabel.All
        |> Array.filter (fun label -> (Severity.ofLabel label).IsHeldBack && not label.IsThrottled)
        |> Array.map (fun label -> row (heldBackBy label) $"Held back by {label.Name}" RuleUnit.Sure 50.0 10.0 30.0 10.0 warning true)

    /// All of them, with their defaults. docs/alerts.md has the same table, which a test compares.
    let all: RuleRow[] =
        [|
            row MachineSilent "A machine sends nothing" RuleUnit.Nothing 1.0 0.0 3.0 1.0 critical true
            row GpuFault "A GPU is broken" RuleUnit.Sure 50.0 10.0 0.0 5.0 critical true
            row XidHardware "An XID event after which a GPU needs a reset" RuleUnit.Nothing 1.0 0.0 0.0 0.0 critical true
            row XidOther "An XID event that is to be reported" RuleUnit.Nothing 1.0 0.0 0.0 0.0 warning true
            row XidProgram "An XID event that is a program's own error" RuleUnit.Nothing 1.0 0.0 0.0 0.0 warning false
            row Hang "A job hangs" RuleUnit.Sure 50.0 10.0 5.0 1.0 critical true
            row Throttled "GPUs are slowed down" RuleUnit.Sure 50.0 10.0 10.0 5.0 warning true
            row HeldIdle "GPUs are held and not used" RuleUnit.Sure 50.0 10.0 60.0 5.0 warning true
            yield! heldBack
            row DiskFull "A file system is nearly full" RuleUnit.Used 95.0 2.0 5.0 5.0 warning true
            row MemoryFull "Memory is nearly full" RuleUnit.Used 95.0 5.0 10.0 5.0 warning true
            row SwapFull "Swap space is nearly full" RuleUnit.Used 90.0 10.0 10.0 5.0 warning true
            row CertificateEnds "The dashboard's certificate is about to end" RuleUnit.DaysLeft 14.0 0.0 0.0 0.0 warning true
            row DashboardDiskFull "The disk with the dashboard's database is nearly full" RuleUnit.Used 90.0 2.0 5.0 5.0 critical true
        |]

    let private byName = all |> Array.map (fun row -> row.Name, row) |> dict

    /// The rule of that name.
    [<CompiledName "Find">]
    let find (name: string) : RuleRow voption =
        match byName.TryGetValue name with
        | true, row -> ValueSome row
        | _ -> ValueNone

    /// The longest time that a rule may ask for, in microseconds: a week.
    let longest: int64 = minutes (7.0 * 1440.0)

    /// Nothing is changed.
    let unchanged: RuleChange =
        {
            Threshold = ValueNone
            Clear = ValueNone
            For = ValueNone
            ClearFor = ValueNone
            Level = ValueNone
            IsEnabled = ValueNone
        }

    let private change (row: RuleRow) (rule: Rule) (change: RuleChange) : Rule =
        let threshold = change.Threshold |> ValueOption.defaultValue rule.Threshold

        let clear =
            match change.Clear, change.Threshold with
            | ValueSome clear, _ -> clear
            // The margin moves along.
            | ValueNone, ValueSome _ ->
                if row.IsBelow then
                    threshold + row.Margin
                else
                    threshold - row.Margin
            | ValueNone, ValueNone -> rule.Clear

        {
            Threshold = threshold
            Clear =
                if row.IsBelow then
                    max threshold clear
                else
                    min threshold clear
            For = change.For |> ValueOption.defaultValue rule.For
            ClearFor = change.ClearFor |> ValueOption.defaultValue rule.ClearFor
            Level = change.Level |> ValueOption.defaultValue rule.Level
            IsEnabled = change.IsEnabled |> ValueOption.defaultValue rule.IsEnabled
        }

    /// A rule as it is set for a machine of this slug and these labels.
    [<CompiledName "Applied">]
    let applied (setting: RuleSetting voption) (slug: string) (labels: string[]) (row: RuleRow) : Rule =
        match setting with
        | ValueNone -> row.Default
        | ValueSome setting ->
            let general = change row row.Default setting.Change

            match
                setting.Overrides
                |> Array.tryFind (fun (struct (target, _)) -> Target.fits slug labels target)
            with
            | Some(struct (_, special)) -> change row general special
            | None -> general

    /// Whether a value is past the threshold.
    [<CompiledName "Holds">]
    let holds (row: RuleRow) (rule: Rule) (value: float) : bool =
        if row.IsBelow then
            value <= rule.Threshold
        else
            value >= rule.Threshold

    /// Whether a value is back where nothing is wrong.
    [<CompiledName "IsOver">]
    let isOver (row: RuleRow) (rule: Rule) (value: float) : bool =
        if row.IsBelow then
            value > rule.Clear
        else
            value < rule.Clear
