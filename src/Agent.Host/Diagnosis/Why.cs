using System.Globalization;
using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Sender;
using Agent.Host.Reading;
using Agent.Host.Service;

namespace Agent.Host.Diagnosing;

/// <summary>Watches the jobs of this machine for a while and says what holds each of them back. Nothing is sent anywhere.</summary>
internal sealed partial class Why(Settings settings, CommandLineProgram program, AgentClock clock, Signals signals)
{
    /// <summary>TIOCGWINSZ of ioctl_tty(2), as most architectures have it.</summary>
    private const nuint GetWindowSize = 0x5413;

    private const int StandardOutput = 1;
    private const int DefaultWidth = 100;

    private static readonly TimeSpan Step = TimeSpan.FromSeconds(1);

    /// <summary>Watches and prints; the exit code.</summary>
    public int Run()
    {
        var slow = new SlowSources(settings, clock, withMetrics: false, watchesHost: true);
        slow.Start();
        Watch(slow);
        var newest = slow.Newest();
        var report = newest.Jobs;
        var leftOut = slow.Jobs.LeftOut;
        var blind = Agent.Sender.Why.Blind(leftOut.Unseen, newest.Gpus, newest.Gpus.Length == 0 ? Problem(slow) : "");
        slow.Stop();
        var notes = string.Concat(Agent.Sender.Why.BlindLines(Width(), blind, leftOut.Jobs).Select(static line => Painted(line, false) + "\n"));

        if (report.IsNone)
        {
            program.Complain("not enough was seen for a verdict; watch longer with --seconds");
            program.Show(notes);
            return Agent.Sender.Why.Failed;
        }

        if (settings.Json)
        {
            program.Show(notes);
        }

        var text = settings.Json ? Terminal.Json(Agent.Sender.Why.Json(report.Value)) + "\n" : Text(report.Value) + notes;
        return program.Print(text) == ExitCode.Success
            ? Agent.Sender.Why.ExitCodeOf(blind.Length > 0, report.Value)
            : Agent.Sender.Why.Failed;
    }

    /// <summary>Why no GPU can be read on a machine that should have some; empty on one without.</summary>
    private string Problem(SlowSources slow) =>
        slow.GpuFinding is { Advice.Length: > 0 } finding ? finding.Advice
        : settings.GpuReader is GpuReader.Nvml or GpuReader.NvidiaSmi ? "the source that --gpu-source names reports no GPU"
        : "";

    /// <summary>
    /// Waits, and shows the remaining time on a terminal. A machine that is so busy that too little was seen by then is watched as long again.
    /// </summary>
    private void Watch(SlowSources slow)
    {
        var until = clock.Elapsed + settings.Why.Value;
        var latest = until + settings.Why.Value;
        var isShown = Terminal.IsError && !settings.Quiet;
        var gate = new object();

        while (!signals.Orderly.IsCancellationRequested)
        {
            // Whoever asks for the newest readings has the jobs read.
            var newest = slow.Newest();
            var now = clock.Elapsed;
            var end = now >= until && Agent.Sender.Why.IsTooEarly(newest.Jobs) ? latest : until;

            if (now >= end)
            {
                break;
            }

            if (isShown)
            {
                program.Show($"\rwatching for {(end - now).TotalSeconds.ToString("0", CultureInfo.InvariantCulture)} s … ");
            }

            lock (gate)
            {
                clock.Wait(gate, Step);
            }
        }

        if (isShown)
        {
            program.Show("\r\x1b[K");
        }
    }

    private string Text(JobReport report)
    {
        var isColoured = Terminal.IsOutput && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        return string.Concat(Agent.Sender.Why.Lines(Width(), clock.SteadyNow, report).Select(line => Painted(line, isColoured) + "\n"));
    }

    // Control characters of what others name things go first; those of the colour come after.
    private static string Painted(WhyLine line, bool isColoured)
    {
        var text = TerminalText.OneLine(line.Text);

        if (!isColoured || line.Colour == 0)
        {
            return text;
        }

        var begin = text.TakeWhile(static c => c == ' ').Count();
        var end = text.AsSpan(begin).IndexOfAny(' ', ',') is var length and >= 0 ? begin + length : text.Length;
        return $"{text[..begin]}\x1b[{line.Colour}m{text[begin..end]}\x1b[0m{text[end..]}";
    }

    private static int Width()
    {
        var size = default(WindowSize);
        return Ioctl(StandardOutput, GetWindowSize, ref size) == 0 && size.Columns > 0 ? size.Columns : DefaultWidth;
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Ioctl(int descriptor, nuint request, ref WindowSize size);

    /// <summary>winsize of ioctl_tty(2).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct WindowSize
    {
        public ushort Rows;
        public ushort Columns;
        public ushort Width;
        public ushort Height;
    }
}
