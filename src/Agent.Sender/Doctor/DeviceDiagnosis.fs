namespace Agent.Sender

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// Whether the disks and network interfaces that were asked for are there and tell something.
[<RequireQualifiedAccess>]
module DeviceDiagnosis =
    let private isBusy (disk: DiskStats.DiskCounters) =
        disk.BusyTime |> ValueOption.exists (fun time -> time > 0UL<ms>)

    /// Why the utilisation of disks cannot be determined, and of which; none when it can.
    let private diskFault (blocks: BlockDevices.Table) (wanted: string[]) (all: DiskStats.DiskCounters[]) : (Cause * string) voption =
        let namesOf (disks: DiskStats.DiskCounters[]) =
            DoctorRow.list (disks |> Seq.map (fun disk -> disk.Device))

        let selection = Devices.selectDisks blocks wanted all
        let tracked = selection.Tracked
        let names = namesOf tracked
        let busy = Array.filter isBusy all

        let others =
            if all.Length = 0 then
                "there are none at all"
            else
                $"there are {namesOf all}"

        if selection.Missing.Length > 0 then
            ValueSome(Cause.DisksUnmatched, $"there is no {DoctorRow.list selection.Missing}; {others}")
        elif tracked.Length = 0 then
            ValueSome(Cause.NoDisks, others)
        elif tracked |> Array.exists (fun disk -> disk.BusyTime.IsNone) then
            ValueSome(Cause.BusyTimeUncounted, namesOf (tracked |> Array.filter (fun disk -> disk.BusyTime.IsNone)))
        elif busy.Length > 0 && not (Array.exists isBusy tracked) then
            ValueSome(Cause.DisksIdle, $"tracked: {names}; busy: {namesOf busy}")
        else
            ValueNone

    /// Which disks are tracked, and whether their utilisation can be determined.
    [<CompiledName "Disks">]
    let disks (blocks: BlockDevices.Table) (wanted: string[]) (found: Result<DiskStats.DiskCounters[], SourceError>) : Row =
        match found with
        | Error error -> DoctorRow.bad "disks" Cause.SourceUnreadable (string error)
        | Ok all ->
            match diskFault blocks wanted all with
            | ValueSome(Cause.DisksUnmatched as cause, detail) -> DoctorRow.bad "disks" cause detail
            | ValueSome(cause, detail) -> DoctorRow.doubtful "disks" cause detail
            | ValueNone ->
                let tracked = (Devices.selectDisks blocks wanted all).Tracked
                let names = DoctorRow.list (tracked |> Seq.map (fun disk -> disk.Device))
                DoctorRow.good "disks" $"{names}. {(Remedies.ofCause Cause.FirstSample).Wrong}"

    /// What a running agent says of the disks, on one line; empty when nothing is wrong, and for names that do not match,
    /// which are reported separately.
    [<CompiledName "DiskAdvice">]
    let diskAdvice (blocks: BlockDevices.Table) (wanted: string[]) (all: DiskStats.DiskCounters[]) : string =
        match diskFault blocks wanted all with
        | ValueNone
        | ValueSome(Cause.DisksUnmatched, _) -> ""
        | ValueSome(cause, detail) -> $"{Advice.line cause} ({detail})"

    /// Which interfaces are tracked, and which of them the totals count.
    [<CompiledName "Interfaces">]
    let interfaces (known: NetClass.Table) (wanted: string[]) (found: Result<NetDev.InterfaceCounters[], SourceError>) : Row =
        match found with
        | Error error -> DoctorRow.bad "interfaces" Cause.SourceUnreadable (string error)
        | Ok all ->
            let selection = Devices.selectInterfaces wanted all

            let namesOf (interfaces: NetDev.InterfaceCounters[]) =
                DoctorRow.list (interfaces |> Seq.map (fun i -> i.Name))

            let names = namesOf all
            let counted = Devices.counted known wanted selection.Tracked

            if selection.Missing.Length > 0 then
                DoctorRow.bad "interfaces" Cause.InterfacesUnmatched $"there is no {DoctorRow.list selection.Missing}; there are {names}"
            elif selection.Tracked.Length = 0 then
                DoctorRow.doubtful "interfaces" Cause.NoInterfaces ""
            elif counted.Length = selection.Tracked.Length then
                DoctorRow.good "interfaces" (namesOf selection.Tracked)
            else
                DoctorRow.good "interfaces" $"{namesOf selection.Tracked}. The totals count {namesOf counted}"
