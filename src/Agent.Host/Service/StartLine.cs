using System.Globalization;
using Agent.Sender;
using Agent.Host.Reading;

namespace Agent.Host.Service;

/// <summary>What an agent says first: who it is, what it reads, and where samples and metrics go.</summary>
internal static class StartLine
{
    /// <summary>One line, and one more for each further destination.</summary>
    /// <param name="settings">The user's choices.</param>
    /// <param name="version">The agent's version.</param>
    /// <param name="metricsAddress">Where metrics are served; null for nowhere.</param>
    /// <param name="disks">The disks that are tracked.</param>
    public static IEnumerable<string> Of(Settings settings, string version, string? metricsAddress, string[] disks)
    {
        string[] goals =
        [
            .. settings.Target.IsSome ? [$"{settings.Target.Value.Host} as {settings.Target.Value.Slug}"] : (string[])[],
            .. metricsAddress is null ? (string[])[] : [$"metrics at http://{metricsAddress}/metrics"],
            .. settings.RemoteWrite.IsSome ? [$"remote-write to {settings.RemoteWrite.Value.Shown}"] : (string[])[],
            .. settings.Otlp.IsSome ? [$"OTLP to {settings.Otlp.Value.Shown}"] : (string[])[],
        ];
        var names = string.Join(",", disks);
        var interval = settings.Interval.TotalSeconds.ToString(CultureInfo.InvariantCulture);
        var gpus = GpuDiagnosis.InSight(settings.GpuReader, GpuPlaces.Look(settings.SysFs, settings.ProcFs));

        return
        [
            $"{Cli.ProgramName} {version} | {goals[0]} | every {interval} s | disks: {(names.Length > 0 ? names : "none")} | GPUs: {gpus}",
            .. goals[1..],
        ];
    }
}
