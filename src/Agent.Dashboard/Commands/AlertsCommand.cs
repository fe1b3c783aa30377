using Agent.Dashboard.Alerting;
using Agent.Receiver.Alerts;

namespace Agent.Dashboard.Commands;

/// <summary>The commands about channels of alerts. They need neither the database nor a dashboard that serves.</summary>
internal sealed class AlertsCommand(AgentClock clock, CommandLineProgram program)
{
    /// <summary>Runs the command; the exit code.</summary>
    public int Run(AlertsCommandSettings settings) =>
        Channels.Open(settings.Alerts.File, settings.Alerts.PublicUrl, program.Version, clock, program.Complain).Match(
            channels =>
            {
                using (channels)
                {
                    return settings.Action.Match(name => Test(channels, settings.Alerts.File, name), () => List(channels, settings.Alerts.File));
                }
            },
            program.Refuse);

    private int Test(Channels channels, string file, string name) =>
        channels.Find(name) is not { } channel
            ? program.Refuse([$"CHANNEL: there is no channel \"{name}\" in \"{file}\"; {DashboardNames(channels)}"])
            : channels.Try(channel, CancellationToken.None).GetAwaiter().GetResult().Match(
                answer => program.Print($"{name} ({channel.Settings.Type}): delivered: {answer}\n"),
                reason => program.Fail($"{name} ({channel.Settings.Type}): refused: {reason}"),
                (_, reason) => program.Fail($"{name} ({channel.Settings.Type}): not delivered: {reason}"));

    private int List(Channels channels, string file)
    {
        if (channels.All.Count == 0)
        {
            program.Complain($"there are no channels in \"{file}\"");
        }

        return program.Print(string.Concat(channels.All.Select(
            static channel => $"{channel.Settings.Name,-24} {channel.Settings.Type,-10} {channel.Settings.Destination}\n")));
    }

    private static string DashboardNames(Channels channels) =>
        channels.All.Count == 0 ? "it has none" : $"it has {string.Join(", ", channels.All.Select(static one => one.Settings.Name))}";
}
